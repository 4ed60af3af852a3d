// The tests of a template: what stands after "is".
#include <algorithm>

#include "jinja/builtins.hpp"
#include "jinja/python/args.hpp"
#include "jinja/python/operators.hpp"

namespace elver::jinja {
namespace {

using Plain = bool (*)(const Value& v);
bool plain_test(Env& env, const Value& v, Args& args, Plain test) {
    Bound(env, "test", args, {});
    return test(v);
}
template <Plain test>
bool plain(Env& env, const Value& v, Args& args) {
    return plain_test(env, v, args, test);
}

bool compare_test(Env& env, const Value& v, Args& args, CompareOp op) {
    const Bound b(env, "test", args, {"other"}, 1);
    return compare(env, op, v, b[0]);
}
template <CompareOp op>
bool compared(Env& env, const Value& v, Args& args) {
    return compare_test(env, v, args, op);
}

bool remainder_is(Env& env, const Value& v, const Value& divisor, int want) {
    return equal(env, arithmetic(env, Operator::modulo, v, divisor), Value(want));
}
template <int want>
bool parity(Env& env, const Value& v, Args& args) {
    Bound(env, "test", args, {});
    return remainder_is(env, v, Value(2), want);
}
bool divisible_by(Env& env, const Value& v, Args& args) {
    const Bound b(env, "divisibleby", args, {"num"}, 1);
    return remainder_is(env, v, b[0], 0);
}

bool sameas(Env& env, const Value& v, Args& args) {
    const Bound b(env, "sameas", args, {"other"}, 1);
    return same(v, b[0]);
}

bool is_sequence(const Value& v) {
    return v.is_undefined() || v.str() || v.dict() || (v.seq() && v.seq()->indexable());
}

constexpr std::pair<std::string_view, Test> tests[] = {
    {"boolean", plain<[](const Value& v) { return v.as<bool>() != nullptr; }>},
    {"defined", plain<[](const Value& v) { return !v.is_undefined(); }>},
    {"undefined", plain<[](const Value& v) { return v.is_undefined(); }>},
    {"false", plain<[](const Value& v) { return v.as<bool>() && !*v.as<bool>(); }>},
    {"true", plain<[](const Value& v) { return v.as<bool>() && *v.as<bool>(); }>},
    {"float", plain<[](const Value& v) { return v.as<double>() != nullptr; }>},
    {"integer", plain<[](const Value& v) { return v.as<Int>() != nullptr; }>},
    {"number", plain<is_number>},
    {"none", plain<[](const Value& v) { return v.is_none(); }>},
    {"string", plain<[](const Value& v) { return v.str() != nullptr; }>},
    {"mapping", plain<is_mapping>},
    {"iterable", plain<is_iterable>},
    {"sequence", plain<is_sequence>},
    {"divisibleby", divisible_by},
    {"odd", parity<1>},
    {"even", parity<0>},
    {"eq", compared<CompareOp::eq>},
    {"equalto", compared<CompareOp::eq>},
    {"==", compared<CompareOp::eq>},
    {"ne", compared<CompareOp::ne>},
    {"!=", compared<CompareOp::ne>},
    {"gt", compared<CompareOp::gt>},
    {"greaterthan", compared<CompareOp::gt>},
    {">", compared<CompareOp::gt>},
    {"ge", compared<CompareOp::ge>},
    {">=", compared<CompareOp::ge>},
    {"lt", compared<CompareOp::lt>},
    {"lessthan", compared<CompareOp::lt>},
    {"<", compared<CompareOp::lt>},
    {"le", compared<CompareOp::le>},
    {"<=", compared<CompareOp::le>},
    {"in", compared<CompareOp::in>},
    {"sameas", sameas},
};

}  // namespace

Test find_test(std::string_view name) {
    const auto* t = std::find_if(std::begin(tests), std::end(tests), [&](auto& x) { return x.first == name; });
    return t == std::end(tests) ? nullptr : t->second;
}

}  // namespace elver::jinja
