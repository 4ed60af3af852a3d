#include "jinja/expression_parser.hpp"

#include <algorithm>

namespace elver::jinja {

void ExpressionParser::unexpected(std::string_view expected) {
    const Token& t = now();
    switch (t.kind) {
        case TokenKind::end:
            return fail_at(t.line, cat("expected ", expected, ", found the end of the template"));
        case TokenKind::block_end:
            return fail_at(t.line, cat("expected ", expected, ", found %}"));
        case TokenKind::print_end:
            return fail_at(t.line, cat("expected ", expected, ", found }}"));
        default:
            return fail_at(t.line, cat("expected ", expected, ", found ", in_quotes(t.text)));
    }
}

void ExpressionParser::expect_op(std::string_view op) {
    if (!skip_op(op)) unexpected(cat("'", op, "'"));
}

void ExpressionParser::expect_name(std::string_view name) {
    if (!skip_name(name)) unexpected(cat("'", name, "'"));
}

ExprPtr ExpressionParser::make(ExprKind kind, int line) const {
    auto e = std::make_unique<Expr>();
    e->kind = kind;
    e->line = line;
    return e;
}

void ExpressionParser::adopt(Expr& parent, ExprPtr child) {
    if (child) {
        parent.depth = std::max(parent.depth, child->depth + 1);
        if (parent.depth > max_expr_depth) fail_unsupported_at(parent.line, "an expression is nested too deeply");
    }
    parent.operands.push_back(std::move(child));
}

ExprPtr ExpressionParser::with_operands(ExprKind kind, int line, ExprPtr a, ExprPtr b, ExprPtr c) {
    ExprPtr e = make(kind, line);
    adopt(*e, std::move(a));
    if (b) adopt(*e, std::move(b));
    if (c) adopt(*e, std::move(c));
    return e;
}

bool ExpressionParser::tuple_ends(const TupleRules& rules) const {
    const TokenKind kind = now().kind;
    if (kind == TokenKind::print_end || kind == TokenKind::block_end || is_op(")")) return true;
    return !rules.end.empty() && is_name(rules.end);
}

ExprPtr ExpressionParser::tuple(const TupleRules& rules) {
    const int line = now().line;
    std::vector<ExprPtr> items;
    bool is_tuple = false;
    for (;;) {
        if (!items.empty()) expect_op(",");
        if (tuple_ends(rules)) break;
        items.push_back(expression(rules.conditional));
        if (!is_op(",")) break;
        is_tuple = true;
    }
    if (!is_tuple) {
        if (!items.empty()) return std::move(items.front());
        if (!rules.parentheses) unexpected("an expression");
    }
    ExprPtr e = make(ExprKind::tuple, line);
    for (ExprPtr& item : items) adopt(*e, std::move(item));
    return e;
}

ExprPtr ExpressionParser::single_name() {
    const Token& t = now();
    if (t.kind != TokenKind::name) unexpected("a name");
    for (const char* constant : {"true", "false", "none", "True", "False", "None"}) {
        if (t.text == constant) fail_at(t.line, cat("cannot assign to ", t.text));
    }
    ExprPtr e = make(ExprKind::name, t.line);
    e->name = t.text;
    take();
    return e;
}

ExprPtr ExpressionParser::assign_target(const TargetRules& rules) {
    const int line = now().line;
    std::vector<ExprPtr> items;
    bool is_tuple = false;
    const auto one = [&]() -> ExprPtr {
        if (skip_op("(")) {
            const Nested nested(*this);
            ExprPtr inner = assign_target({});
            expect_op(")");
            return inner;
        }
        ExprPtr e = single_name();
        if (rules.attributes && skip_op(".")) {
            e->kind = ExprKind::attribute_target;
            e->value = Value(template_str(single_name()->name));
        }
        return e;
    };
    for (;;) {
        if (!items.empty()) expect_op(",");
        if (is_tuple && (tuple_ends({.end = rules.end}) || is_op("="))) break;
        items.push_back(one());
        if (!is_op(",")) break;
        is_tuple = true;
    }
    if (!is_tuple) return std::move(items.front());
    ExprPtr e = make(ExprKind::tuple, line);
    for (ExprPtr& item : items) adopt(*e, std::move(item));
    return e;
}

ExprPtr ExpressionParser::expression(bool conditional) {
    const Nested nested(*this);
    ExprPtr e = logical_or();
    while (conditional && is_name("if")) {
        const int line = take().line;
        ExprPtr test = logical_or();
        ExprPtr otherwise;
        if (skip_name("else")) otherwise = expression();
        ExprPtr whole = with_operands(ExprKind::conditional, line, std::move(test), std::move(e));
        adopt(*whole, std::move(otherwise));
        e = std::move(whole);
    }
    return e;
}

ExprPtr ExpressionParser::logical_or() {
    ExprPtr e = logical_and();
    while (is_name("or")) {
        const int line = take().line;
        e = with_operands(ExprKind::logical_or, line, std::move(e), logical_and());
    }
    return e;
}

ExprPtr ExpressionParser::logical_and() {
    ExprPtr e = logical_not();
    while (is_name("and")) {
        const int line = take().line;
        e = with_operands(ExprKind::logical_and, line, std::move(e), logical_not());
    }
    return e;
}

ExprPtr ExpressionParser::logical_not() {
    if (!is_name("not")) return comparison();
    const Nested nested(*this);
    const int line = take().line;
    return with_operands(ExprKind::logical_not, line, logical_not());
}

ExprPtr ExpressionParser::comparison() {
    static constexpr std::pair<std::string_view, CompareOp> operators[] = {
        {"==", CompareOp::eq}, {"!=", CompareOp::ne}, {"<", CompareOp::lt},
        {"<=", CompareOp::le}, {">", CompareOp::gt},  {">=", CompareOp::ge},
    };
    const int line = now().line;
    ExprPtr e = sum();
    ExprPtr chain;
    for (;;) {
        CompareOp op;
        const auto* found =
            std::find_if(std::begin(operators), std::end(operators), [&](auto& o) { return is_op(o.first); });
        if (found != std::end(operators)) {
            op = found->second;
            take();
        } else if (skip_name("in")) {
            op = CompareOp::in;
        } else if (is_name("not") && ahead().kind == TokenKind::name && ahead().text == "in") {
            take();
            take();
            op = CompareOp::not_in;
        } else {
            return chain ? std::move(chain) : std::move(e);
        }
        if (!chain) chain = with_operands(ExprKind::compare, line, std::move(e));
        chain->ops.push_back(op);
        adopt(*chain, sum());
    }
}

ExprPtr ExpressionParser::arithmetic(Operator op, int line, ExprPtr left, ExprPtr right) {
    ExprPtr e = with_operands(ExprKind::arithmetic, line, std::move(left), std::move(right));
    e->op = op;
    return e;
}

ExprPtr ExpressionParser::sum() {
    ExprPtr e = concat();
    while (is_op("+") || is_op("-")) {
        const Token& t = take();
        const Operator op = t.text == "+" ? Operator::add : Operator::subtract;
        const int line = t.line;
        e = arithmetic(op, line, std::move(e), concat());
    }
    return e;
}

ExprPtr ExpressionParser::concat() {
    const int line = now().line;
    ExprPtr e = product();
    if (!is_op("~")) return e;
    ExprPtr whole = with_operands(ExprKind::concat, line, std::move(e));
    while (skip_op("~")) adopt(*whole, product());
    return whole;
}

ExprPtr ExpressionParser::product() {
    static constexpr std::pair<std::string_view, Operator> operators[] = {
        {"*", Operator::multiply}, {"/", Operator::divide}, {"//", Operator::floor_divide}, {"%", Operator::modulo}};
    ExprPtr e = unary();
    for (;;) {
        if (is_op("**")) fail_unsupported_at(now().line, "the operator ** is not supported");
        const auto* found =
            std::find_if(std::begin(operators), std::end(operators), [&](auto& o) { return is_op(o.first); });
        if (found == std::end(operators)) return e;
        const int line = take().line;
        e = arithmetic(found->second, line, std::move(e), unary());
    }
}

ExprPtr ExpressionParser::unary(bool with_filters) {
    const Nested nested(*this);
    const int line = now().line;
    ExprPtr e;
    if (is_op("-") || is_op("+")) {
        const ExprKind kind = take().text == "-" ? ExprKind::negate : ExprKind::positive;
        e = with_operands(kind, line, unary(false));
    } else {
        e = primary();
    }
    e = postfix(std::move(e));
    return with_filters ? filters_and_tests(std::move(e)) : std::move(e);
}

ExprPtr ExpressionParser::primary() {
    const Token& t = now();
    ExprPtr e = make(ExprKind::constant, t.line);
    switch (t.kind) {
        case TokenKind::name:
            take();
            if (t.text == "true" || t.text == "True") {
                e->value = Value(true);
            } else if (t.text == "false" || t.text == "False") {
                e->value = Value(false);
            } else if (t.text == "none" || t.text == "None") {
                e->value = Value(None{});
            } else {
                e->kind = ExprKind::name;
                e->name = t.text;
            }
            return e;
        case TokenKind::string: {
            std::string text;
            while (now().kind == TokenKind::string) text += take().text;
            e->value = Value(template_str(std::move(text)));
            return e;
        }
        case TokenKind::integer:
            e->value = Value(take().integer);
            return e;
        case TokenKind::real:
            e->value = Value(take().real);
            return e;
        default:
            break;
    }
    if (skip_op("(")) {
        e = tuple({.parentheses = true});
        expect_op(")");
        return e;
    }
    if (is_op("[")) return list();
    if (is_op("{")) return dict();
    unexpected("an expression");
    return e;
}

ExprPtr ExpressionParser::list() {
    ExprPtr e = make(ExprKind::list, take().line);
    while (!is_op("]") && !failed()) {
        if (!e->operands.empty()) expect_op(",");
        if (is_op("]")) break;
        adopt(*e, expression());
    }
    expect_op("]");
    return e;
}

ExprPtr ExpressionParser::dict() {
    ExprPtr e = make(ExprKind::dict, take().line);
    while (!is_op("}") && !failed()) {
        if (!e->operands.empty()) expect_op(",");
        if (is_op("}")) break;
        adopt(*e, expression());
        expect_op(":");
        adopt(*e, expression());
    }
    expect_op("}");
    return e;
}

ExprPtr ExpressionParser::postfix(ExprPtr e) {
    for (;;) {
        if (is_op(".") || is_op("[")) {
            e = subscript(std::move(e));
        } else if (is_op("(")) {
            e = call(std::move(e));
        } else {
            return e;
        }
    }
}

ExprPtr ExpressionParser::filters_and_tests(ExprPtr e) {
    for (;;) {
        if (is_op("|")) {
            e = filters(std::move(e), false);
        } else if (is_name("is")) {
            e = test(std::move(e));
        } else if (is_op("(")) {
            e = call(std::move(e));
        } else {
            return e;
        }
    }
}

ExprPtr ExpressionParser::subscript(ExprPtr object) {
    const int line = now().line;
    if (skip_op(".")) {
        const Token& t = take();
        if (t.kind == TokenKind::name) {
            ExprPtr e = with_operands(ExprKind::attribute, line, std::move(object));
            e->name = t.text;
            return e;
        }
        if (t.kind != TokenKind::integer) fail_at(t.line, "expected a name or a number after '.'");
        ExprPtr key = make(ExprKind::constant, t.line);
        key->value = Value(t.integer);
        return with_operands(ExprKind::item, line, std::move(object), std::move(key));
    }
    expect_op("[");
    ExprPtr first;
    if (is_op("]"))
        first = make(ExprKind::tuple, line);
    else if (!is_op(":"))
        first = expression();
    if (skip_op(":")) {
        ExprPtr e = with_operands(ExprKind::slice, line, std::move(object));
        adopt(*e, std::move(first));
        adopt(*e, is_op(":") || is_op("]") ? nullptr : expression());
        adopt(*e, skip_op(":") && !is_op("]") ? expression() : nullptr);
        expect_op("]");
        return e;
    }
    if (is_op(",")) {
        ExprPtr key = with_operands(ExprKind::tuple, line, std::move(first));
        while (skip_op(",")) adopt(*key, expression());
        first = std::move(key);
    }
    expect_op("]");
    return with_operands(ExprKind::item, line, std::move(object), std::move(first));
}

ExprPtr ExpressionParser::call(ExprPtr callee) {
    ExprPtr e = with_operands(ExprKind::call, now().line, std::move(callee));
    call_args(*e);
    return e;
}

void ExpressionParser::call_args(Expr& into) {
    const int line = now().line;
    expect_op("(");
    for (bool first = true; !is_op(")") && !failed(); first = false) {
        if (!first) {
            expect_op(",");
            if (is_op(")")) break;
        }
        if (is_op("*") || is_op("**")) {
            fail_unsupported_at(line, cat(now().text, " in the arguments of a call is not supported"));
        } else if (now().kind == TokenKind::name && ahead().kind == TokenKind::op && ahead().text == "=") {
            std::string name = take().text;
            take();
            ExprPtr value = expression();
            into.depth = std::max(into.depth, value->depth + 1);
            into.keywords.emplace_back(std::move(name), std::move(value));
        } else {
            if (!into.keywords.empty()) fail_at(line, "an argument without a name follows one with a name");
            adopt(into, expression());
        }
    }
    expect_op(")");
}

std::string ExpressionParser::plain_name() {
    if (now().kind != TokenKind::name) unexpected("the name of a filter or test");
    return take().text;
}

ExprPtr ExpressionParser::filters(ExprPtr operand, bool bare) {
    while (bare || is_op("|")) {
        if (!bare) take();
        bare = false;
        ExprPtr e = make(ExprKind::filter, now().line);
        e->name = plain_name();
        adopt(*e, std::move(operand));
        if (is_op("(")) call_args(*e);
        operand = std::move(e);
    }
    return operand;
}

ExprPtr ExpressionParser::test(ExprPtr operand) {
    const int line = take().line;
    const bool negated = skip_name("not");
    ExprPtr e = with_operands(ExprKind::test, line, std::move(operand));
    e->name = plain_name();
    const TokenKind kind = now().kind;
    if (is_op("(")) {
        call_args(*e);
    } else if (kind == TokenKind::string || kind == TokenKind::integer || kind == TokenKind::real || is_op("[") ||
               is_op("{") || (kind == TokenKind::name && !is_name("else") && !is_name("or") && !is_name("and"))) {
        if (is_name("is")) fail_at(line, "tests cannot be chained with is");
        adopt(*e, postfix(primary()));
    }
    return negated ? with_operands(ExprKind::logical_not, line, std::move(e)) : std::move(e);
}

}  // namespace elver::jinja
