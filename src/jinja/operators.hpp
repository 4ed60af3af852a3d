// Python's arithmetic, and + of texts where Markup escapes what joins it.
#pragma once

#include "jinja/syntax.hpp"

namespace elver::jinja {

// kind: add, subtract, multiply, divide, floor_divide, modulo or power.
Value arithmetic(Env& env, ExprKind kind, const Value& a, const Value& b);
Value negate(Env& env, const Value& a, bool minus);
bool compare(Env& env, CompareOp op, const Value& a, const Value& b);

}  // namespace elver::jinja
