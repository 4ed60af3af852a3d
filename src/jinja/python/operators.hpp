// Python's arithmetic, and + of texts where Markup escapes what joins it.
#pragma once

#include "jinja/python/value.hpp"

namespace elver::jinja {

enum class Operator : uint8_t { add, subtract, multiply, divide, floor_divide, modulo };
enum class CompareOp : uint8_t { eq, ne, lt, le, gt, ge, in, not_in };

Value arithmetic(Env& env, Operator op, const Value& a, const Value& b);
Value negate(Env& env, const Value& a, bool minus);
bool compare(Env& env, CompareOp op, const Value& a, const Value& b);

}  // namespace elver::jinja
