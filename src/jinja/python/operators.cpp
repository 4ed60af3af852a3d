#include "jinja/python/operators.hpp"

#include <cmath>

#include "jinja/python/methods.hpp"
#include "jinja/python/print.hpp"

namespace elver::jinja {
namespace {

constexpr const char* symbols[] = {"+", "-", "*", "/", "//", "%"};

bool divides(Operator op) {
    return op >= Operator::divide;
}

Failed fail_too_large(Env& env) {
    return env.fail_unsupported("an integer exceeds 128 bits");
}
Int sum(Env& env, Int a, Int b) {
    Int out;
    if (__builtin_add_overflow(a, b, &out)) return fail_too_large(env);
    return out;
}
Int difference(Env& env, Int a, Int b) {
    Int out;
    if (__builtin_sub_overflow(a, b, &out)) return fail_too_large(env);
    return out;
}
Int product(Env& env, Int a, Int b) {
    Int out;
    if (__builtin_mul_overflow(a, b, &out)) return fail_too_large(env);
    return out;
}

Int floor_divide(Env& env, Int a, Int b) {
    if (b == -1) return difference(env, 0, a);
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

double float_modulo(double a, double b) {
    double r = std::fmod(a, b);
    if (r != 0 && (b < 0) != (r < 0)) r += b;
    return r == 0 ? std::copysign(0.0, b) : r;
}

Value integers(Env& env, Operator op, Int a, Int b) {
    if (divides(op) && b == 0)
        return env.fail(op == Operator::divide ? "division by zero" : "integer division or modulo by zero");
    switch (op) {
        case Operator::add:
            return Value(sum(env, a, b));
        case Operator::subtract:
            return Value(difference(env, a, b));
        case Operator::multiply:
            return Value(product(env, a, b));
        case Operator::divide:
            return Value(static_cast<double>(a) / static_cast<double>(b));
        case Operator::floor_divide:
            return Value(floor_divide(env, a, b));
        case Operator::modulo:
            return Value(b == -1 ? Int{0} : a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0));
    }
    return {};
}

Value floats(Env& env, Operator op, double a, double b) {
    if (divides(op) && b == 0)
        return env.fail(op == Operator::divide ? "float division by zero" : "float modulo or floor division by zero");
    switch (op) {
        case Operator::add:
            return Value(a + b);
        case Operator::subtract:
            return Value(a - b);
        case Operator::multiply:
            return Value(a * b);
        case Operator::divide:
            return Value(a / b);
        case Operator::floor_divide:
            return Value(std::floor((a - float_modulo(a, b)) / b + 0.25));
        case Operator::modulo:
            return Value(float_modulo(a, b));
    }
    return {};
}

Value join_texts(Env& env, const Str& a, const Str& b) {
    env.budget.work((a.text.size() + b.text.size()) / 16);
    Text out = a.safe || !b.safe ? a.whole : html_escape(a.whole);
    env.budget.append(out, b.safe || !a.safe ? b.whole : html_escape(b.whole));
    return env.str(std::move(out), a.safe || b.safe);
}

bool repeatable(const Value& v) {
    return v.str() || (v.seq() && (v.seq()->kind == SeqKind::list || v.seq()->kind == SeqKind::tuple));
}

Value repeat(Env& env, const Value& v, Int n) {
    if (const Str* s = v.str()) return env.str(repeat_text(env, s->whole, n), s->safe);
    const Values& items = v.seq()->items;
    if (n <= 0 || items.empty()) return env.seq(v.seq()->kind, {});
    if (n > static_cast<Int>(env.budget.max_text() / sizeof(Value) / items.size())) {
        return env.over_budget("the template makes too long a list");
    }
    env.budget.work(items.size() * static_cast<size_t>(n));
    if (env.failed()) return {};
    Values out;
    for (Int i = 0; i < n; ++i) out.insert(out.end(), items.begin(), items.end());
    return env.seq(v.seq()->kind, std::move(out));
}

}  // namespace

Value arithmetic(Env& env, Operator op, const Value& a, const Value& b) {
    if (is_number(a) && is_number(b)) {
        if (a.as<double>() || b.as<double>()) return floats(env, op, to_double(a), to_double(b));
        return integers(env, op, to_int(env, a, ""), to_int(env, b, ""));
    }
    if (op == Operator::add) {
        if (a.str() && b.str()) return join_texts(env, *a.str(), *b.str());
        if (repeatable(a) && a.seq() && b.seq() && a.seq()->kind == b.seq()->kind) {
            Values out = a.seq()->items;
            out.insert(out.end(), b.seq()->items.begin(), b.seq()->items.end());
            env.budget.work(out.size());
            return env.seq(a.seq()->kind, std::move(out));
        }
    }
    if (op == Operator::multiply) {
        if (repeatable(a) && (b.as<Int>() || b.as<bool>())) return repeat(env, a, to_int(env, b, ""));
        if (repeatable(b) && (a.as<Int>() || a.as<bool>())) return repeat(env, b, to_int(env, a, ""));
    }
    if (op == Operator::modulo && a.str()) return env.fail_unsupported("% of a text is not supported");
    if (a.is_undefined()) return env.fail_undefined(a);
    if (b.is_undefined()) return env.fail_undefined(b);
    return env.fail(cat("unsupported operand type(s) for ", symbols[static_cast<int>(op)], ": '", type_name(a),
                        "' and '", type_name(b), "'"));
}

Value negate(Env& env, const Value& a, bool minus) {
    if (const double* d = a.as<double>()) return Value(minus ? -*d : *d);
    if (a.is_undefined()) return env.fail_undefined(a);
    if (!is_number(a)) return env.fail(cat("bad operand type for unary ", minus ? "-" : "+", ": '", type_name(a), "'"));
    const Int i = to_int(env, a, "");
    return Value(minus ? difference(env, 0, i) : i);
}

bool compare(Env& env, CompareOp op, const Value& a, const Value& b) {
    const auto nan = [](const Value& v) { return v.as<double>() && std::isnan(*v.as<double>()); };
    switch (op) {
        case CompareOp::eq:
            return equal(env, a, b);
        case CompareOp::ne:
            return !equal(env, a, b);
        case CompareOp::lt:
            return less(env, a, b, "<");
        case CompareOp::gt:
            return less(env, b, a, ">");
        case CompareOp::le:
            return !less(env, b, a, "<=") && !nan(a) && !nan(b);
        case CompareOp::ge:
            return !less(env, a, b, ">=") && !nan(a) && !nan(b);
        case CompareOp::in:
            return contains(env, b, a);
        case CompareOp::not_in:
            return !contains(env, b, a);
    }
    return false;
}

}  // namespace elver::jinja
