// Statements here, expressions in expression_parser.cpp.
#include "jinja/parser.hpp"

#include <algorithm>

#include "jinja/expression_parser.hpp"

namespace elver::jinja {
namespace {

constexpr size_t max_branches = 1000;  // of an if; they are analysed by recursion

class Parser : ExpressionParser {
  public:
    explicit Parser(std::vector<Token> tokens) : ExpressionParser(std::move(tokens)) {}

    Result<Syntax> run() {
        Syntax syntax;
        body(syntax.body, {});
        if (error_) return *std::move(error_);
        return syntax;
    }

  private:
    using Names = std::initializer_list<std::string_view>;

    // Statements up to a block that begins with one of the names, whose token is then the current one.
    void body(Body& out, Names ends) {
        const Nested nested(*this);
        for (;;) {
            if (failed()) return;
            const Token& t = now();
            switch (t.kind) {
                case TokenKind::end:
                    if (ends.size() > 0)
                        fail_at(t.line, cat("the template ends where {% ", *ends.begin(), " %} is expected"));
                    return;
                case TokenKind::text: {
                    StmtPtr s = make(StmtKind::text, t.line);
                    s->text = t.text;
                    out.push_back(std::move(s));
                    take();
                    break;
                }
                case TokenKind::print_begin: {
                    take();
                    StmtPtr s = make(StmtKind::print, now().line);
                    s->expr = tuple({});
                    if (now().kind != TokenKind::print_end) unexpected("}}");
                    take();
                    out.push_back(std::move(s));
                    break;
                }
                default: {  // block_begin
                    take();
                    if (now().kind == TokenKind::name && std::find(ends.begin(), ends.end(), now().text) != ends.end())
                        return;
                    statement(out);
                    block_end();
                }
            }
        }
    }

    // The body after a statement's head, and the name that ended it.
    std::string block(Body& out, Names ends) {
        skip_op(":");
        block_end();
        body(out, ends);
        return take().text;
    }

    void block_end() {
        if (now().kind != TokenKind::block_end) unexpected("%}");
        take();
    }

    static StmtPtr make(StmtKind kind, int line) {
        auto s = std::make_unique<Stmt>();
        s->kind = kind;
        s->line = line;
        return s;
    }

    void statement(Body& out) {
        const Token& t = now();
        if (t.kind != TokenKind::name) return unexpected("the name of a tag");
        const std::string name = t.text;
        const int line = t.line;
        take();
        if (name == "if") return out.push_back(if_else(line));
        if (name == "for") return out.push_back(for_loop(line));
        if (name == "set") return out.push_back(set(line));
        if (name == "macro") return out.push_back(macro(line));
        if (name == "filter") return out.push_back(filter_block(line));
        if (name == "with") return out.push_back(with(line));
        if (name == "generation") return out.push_back(generation(line));
        if (name == "break" || name == "continue") {
            if (loops_ == 0) return fail_at(line, cat(name, " outside of a loop"));
            return out.push_back(make(name == "break" ? StmtKind::break_loop : StmtKind::continue_loop, line));
        }
        for (const char* known :
             {"extends", "block", "include", "import", "from", "autoescape", "trans", "do", "debug", "call", "print"}) {
            if (name == known) return fail_unsupported_at(line, cat("{% ", name, " %} is not supported"));
        }
        fail_at(line, cat("unknown tag ", in_quotes(name)));
    }

    StmtPtr if_else(int line) {
        StmtPtr s = make(StmtKind::if_else, line);
        for (;;) {
            Branch& branch = s->branches.emplace_back();
            branch.test = tuple({.conditional = false});
            const std::string end = block(branch.body, {"endif", "elif", "else"});
            if (s->branches.size() > max_branches)
                fail_unsupported_at(line, cat("an if of more than ", max_branches, " branches is not supported"));
            if (end == "elif") continue;
            if (end == "else") block(s->branches.emplace_back().body, {"endif"});
            return s;
        }
    }

    StmtPtr for_loop(int line) {
        StmtPtr s = make(StmtKind::for_loop, line);
        s->target = assign_target({.end = "in"});
        expect_name("in");
        s->expr = tuple({.conditional = false, .end = "recursive"});
        if (skip_name("if")) s->test = expression();
        if (is_name("recursive")) fail_unsupported_at(line, "a recursive loop is not supported");
        ++loops_;
        const std::string end = block(s->body, {"endfor", "else"});
        --loops_;
        if (end == "else") block(s->else_body, {"endfor"});
        return s;
    }

    StmtPtr set(int line) {
        StmtPtr s = make(StmtKind::set, line);
        s->target = assign_target({.attributes = true});
        if (skip_op("=")) {
            s->expr = tuple({});
            return s;
        }
        s->kind = StmtKind::set_block;
        s->expr = filters(nullptr, false);
        block(s->body, {"endset"});
        return s;
    }

    void signature(Stmt& s) {
        expect_op("(");
        while (!is_op(")") && !failed()) {
            if (!s.params.empty()) expect_op(",");
            s.params.push_back(single_name());
            if (skip_op("=")) {
                s.defaults.push_back(expression());
            } else if (!s.defaults.empty()) {
                fail_at(now().line, "a parameter without a default follows one with a default");
            }
        }
        expect_op(")");
    }

    // A function body: break and continue do not reach the loops around it.
    void function_body(Stmt& s, std::string_view end) {
        const int loops = std::exchange(loops_, 0);
        block(s.body, {end});
        loops_ = loops;
    }

    StmtPtr macro(int line) {
        StmtPtr s = make(StmtKind::macro, line);
        s->target = single_name();
        s->text = s->target->name;
        signature(*s);
        function_body(*s, "endmacro");
        return s;
    }

    StmtPtr filter_block(int line) {
        StmtPtr s = make(StmtKind::filter_block, line);
        s->expr = filters(nullptr, true);
        block(s->body, {"endfilter"});
        return s;
    }

    StmtPtr with(int line) {
        StmtPtr s = make(StmtKind::with, line);
        while (now().kind != TokenKind::block_end && !failed()) {
            if (!s->params.empty()) expect_op(",");
            s->params.push_back(assign_target({}));
            expect_op("=");
            s->defaults.push_back(expression());
        }
        block(s->body, {"endwith"});
        return s;
    }

    // Marks what the model said, for training; prints its body.
    StmtPtr generation(int line) {
        StmtPtr s = make(StmtKind::with, line);
        function_body(*s, "endgeneration");
        return s;
    }

    int loops_ = 0;  // around the current statement, within its macro
};

}  // namespace

Result<Syntax> parse(std::string_view source) {
    auto tokens = tokenize(source);
    if (!tokens) return std::move(tokens).error();
    return Parser(*std::move(tokens)).run();
}

}  // namespace elver::jinja
