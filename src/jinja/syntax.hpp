// The syntax tree of a template. Names are bound to slots of frames by scopes.cpp before the tree is run; the tree is
// then immutable and shared by threads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "jinja/python/operators.hpp"

namespace elver::jinja {

// Where a variable lives: hops frames outwards, then a slot.
struct SlotRef {
    int hops = 0;
    int slot = -1;
};

enum class ExprKind {
    constant,
    name,
    attribute_target,
    list,
    tuple,
    dict,
    negate,
    positive,
    logical_not,
    logical_and,
    logical_or,
    arithmetic,
    concat,
    compare,
    conditional,
    attribute,
    item,
    slice,
    call,
    filter,
    test,
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

// operands by kind: dict: key, value, key, value ...; compare: the first, then one for each of ops; conditional: test,
// then, else (may be null); item: object, key; slice: object, start, stop, step (each may be null); call, filter and
// test: the callee or the filtered value (null in a filter block), then the positional arguments.
struct Expr {
    ExprKind kind;
    int line;
    int depth = 1;
    Value value;               // constant
    std::string name;          // name, attribute, attribute_target, filter, test
    SlotRef slot;              // name, attribute_target
    Native native = nullptr;   // filter; null: unknown
    Test predicate = nullptr;  // test; null: unknown
    std::vector<ExprPtr> operands;
    Operator op = Operator::add;  // arithmetic
    std::vector<CompareOp> ops;   // compare
    std::vector<std::pair<std::string, ExprPtr>> keywords;
};

// What happens to a slot when its frame is entered.
enum class LoadKind { parameter, missing, context, outer };
struct Load {
    LoadKind kind;
    std::string name;
    SlotRef outer;  // counted from the frame around this one
};
struct Frame {
    std::vector<Load> slots;
};

enum class StmtKind {
    text,
    print,
    set,
    set_block,
    for_loop,
    if_else,
    macro,
    filter_block,
    with,
    break_loop,
    continue_loop,
};

struct Stmt;
using StmtPtr = std::unique_ptr<Stmt>;
using Body = std::vector<StmtPtr>;
struct Branch {
    ExprPtr test;  // null: else
    Body body;
};

struct Stmt {
    StmtKind kind;
    int line;
    std::string text;  // text; macro: its name
    ExprPtr target;    // set, set_block, for_loop; macro: where it is stored
    ExprPtr expr;      // print, set; for_loop: what it goes over; filter_block and set_block: the filter or null
    ExprPtr test, test_target;              // for_loop: the filter, and the target again for the filter's frame
    std::vector<Branch> branches;           // if_else
    std::vector<ExprPtr> params, defaults;  // macro; with: names and values. defaults belong to the last params
    SlotRef loop;                           // for_loop: its variable "loop"
    Body body, else_body;
    Frame frame, test_frame, else_frame;
};

struct Syntax {
    Body body;
    Frame frame;
};

}  // namespace elver::jinja
