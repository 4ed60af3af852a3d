// Parses expressions, with Jinja's precedence: conditional, or, and, not, comparison, + -, ~, * / // %, unary, then
// subscripts and calls, then filters and tests.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jinja/lexer.hpp"
#include "jinja/syntax.hpp"

namespace elver::jinja {

class ExpressionParser {
  protected:
    explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

    // Keeps the first error, and ends the parsing: the last token, the end, is the current one from then on.
    void fail(Error error) {
        if (!error_) error_ = std::move(error);
        at_ = tokens_.size() - 1;
    }
    void fail_at(int line, std::string_view what) { fail(broken_at(line, what)); }
    void fail_unsupported_at(int line, std::string_view what) { fail(unsupported_at(line, what)); }
    bool failed() const noexcept { return error_.has_value(); }
    std::optional<Error> error_;

    // Counts nesting while it lives; too much is a failure.
    class Nested {
      public:
        explicit Nested(ExpressionParser& p) : parser_(p) {
            if (++p.nesting_ > max_nesting) p.fail_unsupported_at(p.now().line, "nested too deeply");
        }
        Nested(const Nested&) = delete;
        Nested& operator=(const Nested&) = delete;
        ~Nested() { --parser_.nesting_; }

      private:
        ExpressionParser& parser_;
    };

    struct TupleRules {
        bool conditional = true;    // "a if b else c" allowed
        bool parentheses = false;   // () is an empty tuple
        std::string_view end = {};  // a name that ends the tuple
    };
    struct TargetRules {
        std::string_view end = {};
        bool attributes = false;  // ns.name allowed
    };

    ExprPtr tuple(const TupleRules& rules);
    ExprPtr expression(bool conditional = true);
    ExprPtr assign_target(const TargetRules& rules);
    ExprPtr single_name();
    // "| name(args)" again and again; the first without its bar if bare. operand may be null; so may the result.
    ExprPtr filters(ExprPtr operand, bool bare);

    const Token& now() const { return tokens_[at_]; }
    const Token& ahead() const { return tokens_[at_ + (at_ + 1 < tokens_.size())]; }
    const Token& take() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_[at_]; }
    bool is_op(std::string_view op) const { return now().kind == TokenKind::op && now().text == op; }
    bool is_name(std::string_view name) const { return now().kind == TokenKind::name && now().text == name; }
    bool skip_op(std::string_view op) { return is_op(op) && (take(), true); }
    bool skip_name(std::string_view name) { return is_name(name) && (take(), true); }
    void expect_op(std::string_view op);
    void expect_name(std::string_view name);
    void unexpected(std::string_view expected);

  private:
    static constexpr int max_nesting = 100;     // of the parser's functions
    static constexpr int max_expr_depth = 250;  // of the tree: a + b + c is one deeper for each term

    ExprPtr make(ExprKind kind, int line) const;
    ExprPtr with_operands(ExprKind kind, int line, ExprPtr a, ExprPtr b = nullptr, ExprPtr c = nullptr);
    void adopt(Expr& parent, ExprPtr child);
    bool tuple_ends(const TupleRules& rules) const;
    ExprPtr logical_or();
    ExprPtr logical_and();
    ExprPtr logical_not();
    ExprPtr comparison();
    ExprPtr arithmetic(Operator op, int line, ExprPtr left, ExprPtr right);
    ExprPtr sum();
    ExprPtr concat();
    ExprPtr product();
    ExprPtr unary(bool with_filters = true);
    ExprPtr primary();
    ExprPtr list();
    ExprPtr dict();
    ExprPtr postfix(ExprPtr e);
    ExprPtr filters_and_tests(ExprPtr e);
    ExprPtr subscript(ExprPtr object);
    ExprPtr call(ExprPtr callee);
    ExprPtr test(ExprPtr operand);
    void call_args(Expr& into);
    std::string plain_name();

    std::vector<Token> tokens_;
    size_t at_ = 0;
    int nesting_ = 0;
};

}  // namespace elver::jinja
