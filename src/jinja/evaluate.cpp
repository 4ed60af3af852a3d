// Expressions of the interpreter.
#include <algorithm>

#include "jinja/builtins.hpp"
#include "jinja/interpreter.hpp"
#include "jinja/python/print.hpp"

namespace elver::jinja {

Value Interpreter::eval(const Expr& e, Scope& scope) {
    if (e.kind == ExprKind::constant) return e.value;
    if (e.kind == ExprKind::name) return eval_name(e, scope);
    if (failed()) return {};
    budget.work(1);
    const Deeper deeper(*this);
    return eval_deep(e, scope);
}

Value Interpreter::eval_deep(const Expr& e, Scope& scope) {
    const auto operand = [&](size_t i) { return eval(*e.operands[i], scope); };
    switch (e.kind) {
        case ExprKind::list:
        case ExprKind::tuple:
            return eval_sequence(e, scope);
        case ExprKind::dict:
            return eval_dict(e, scope);
        case ExprKind::negate:
        case ExprKind::positive:
            return negate(*this, operand(0), e.kind == ExprKind::negate);
        case ExprKind::logical_not:
            return Value(!truth(operand(0)));
        case ExprKind::logical_and: {
            Value left = operand(0);
            return truth(left) ? operand(1) : left;
        }
        case ExprKind::logical_or: {
            Value left = operand(0);
            return truth(left) ? left : operand(1);
        }
        case ExprKind::arithmetic: {
            const Value left = operand(0), right = operand(1);
            budget.line = e.line;
            return arithmetic(*this, e.op, left, right);
        }
        case ExprKind::concat:
            return eval_concat(e, scope);
        case ExprKind::compare:
            return eval_compare(e, scope);
        case ExprKind::conditional:
            return eval_conditional(e, scope);
        case ExprKind::attribute: {
            const Value object = operand(0);
            budget.line = e.line;
            return get_attribute(*this, object, e.name);
        }
        case ExprKind::item: {
            const Value object = operand(0), key = operand(1);
            budget.line = e.line;
            return get_item(*this, object, key);
        }
        case ExprKind::slice:
            return eval_slice(e, scope);
        case ExprKind::call:
            return eval_call(e, scope);
        case ExprKind::filter:
            return eval_filter(e, scope);
        case ExprKind::test:
            return eval_test(e, scope);
        default:
            return {};
    }
}

Value Interpreter::eval_name(const Expr& e, Scope& scope) {
    Value v = e.slot.slot < 0 ? resolve(e.name) : slot(scope, e.slot);
    return v.is_missing() ? undefined(cat("'", e.name, "' is undefined")) : v;
}

Value Interpreter::eval_sequence(const Expr& e, Scope& scope) {
    Values items;
    items.reserve(e.operands.size());
    for (const ExprPtr& operand : e.operands) items.push_back(eval(*operand, scope));
    return seq(e.kind == ExprKind::list ? SeqKind::list : SeqKind::tuple, std::move(items));
}

Value Interpreter::eval_dict(const Expr& e, Scope& scope) {
    Pairs items;
    for (size_t i = 0; i + 1 < e.operands.size(); i += 2) {
        Value key = eval(*e.operands[i], scope);
        items.emplace_back(std::move(key), eval(*e.operands[i + 1], scope));
    }
    return dict(std::move(items));
}

Value Interpreter::eval_concat(const Expr& e, Scope& scope) {
    Text text;
    for (const ExprPtr& operand : e.operands) append_text(*this, text, eval(*operand, scope));
    return str(std::move(text));
}

Value Interpreter::eval_compare(const Expr& e, Scope& scope) {
    Value left = eval(*e.operands[0], scope);
    for (size_t i = 0; i < e.ops.size(); ++i) {
        Value right = eval(*e.operands[i + 1], scope);
        budget.line = e.line;
        if (!compare(*this, e.ops[i], left, right)) return Value(false);
        left = std::move(right);
    }
    return Value(true);
}

Value Interpreter::eval_conditional(const Expr& e, Scope& scope) {
    if (truth(eval(*e.operands[0], scope))) return eval(*e.operands[1], scope);
    if (e.operands[2]) return eval(*e.operands[2], scope);
    return undefined(
        cat("the inline if-expression on line ", e.line, " evaluated to false and no else section was defined."));
}

Value Interpreter::eval_slice(const Expr& e, Scope& scope) {
    const auto bound = [&](size_t i) { return e.operands[i] ? eval(*e.operands[i], scope) : Value(None{}); };
    const Value object = eval(*e.operands[0], scope), start = bound(1), stop = bound(2), step = bound(3);
    budget.line = e.line;
    return get_slice(*this, object, start, stop, step);
}

Args Interpreter::eval_args(const Expr& e, Scope& scope) {
    Args args;
    for (size_t i = 1; i < e.operands.size(); ++i) args.positional.push_back(eval(*e.operands[i], scope));
    if (e.keywords.size() > 1000) return fail_unsupported("more than 1000 keyword arguments");
    for (const auto& [name, value] : e.keywords) {  // each name is compared with those before it
        const auto twice = [&n = name](auto& other) { return other.first == n; };
        if (std::any_of(args.named.begin(), args.named.end(), twice))
            return fail(cat("keyword argument repeated: ", name));
        args.named.emplace_back(name, eval(*value, scope));
    }
    return args;
}

Value Interpreter::eval_call(const Expr& e, Scope& scope) {
    const Value callee = eval(*e.operands[0], scope);
    Args args = eval_args(e, scope);
    budget.line = e.line;
    if (callee.is_undefined()) return fail_undefined(callee);
    if (!callee.object() || !callee.object()->callable())
        return fail(cat("'", type_name(callee), "' object is not callable"));
    return callee.object()->call(*this, std::move(args));
}

Value Interpreter::eval_filter(const Expr& e, Scope& scope) {
    const Value input = e.operands[0] ? eval(*e.operands[0], scope) : filter_input_;
    Args args = eval_args(e, scope);
    budget.line = e.line;
    if (!e.native) return fail_unsupported(cat("filter ", in_quotes(e.name), " is not supported"));
    charge_call(input, args);
    return e.native(*this, input, args);
}

Value Interpreter::eval_test(const Expr& e, Scope& scope) {
    const Value input = eval(*e.operands[0], scope);
    Args args = eval_args(e, scope);
    budget.line = e.line;
    if (!e.predicate) return fail_unsupported(cat("test ", in_quotes(e.name), " is not supported"));
    charge_call(input, args);
    return Value(e.predicate(*this, input, args));
}

}  // namespace elver::jinja
