// The objects a template can hold that have state or behaviour of its own: namespace, loop, macro.
#pragma once

#include "jinja/interpreter.hpp"

namespace elver::jinja {

struct Namespace final : Object {
    Namespace() : Object(ObjectKind::name_space) {}
    std::vector<std::pair<std::string, Value>> attributes;
    void set(std::string_view name, Value value);
    std::string_view type_name() const noexcept override { return "Namespace"; }
    Value attribute(Env& env, std::string_view name) override;
};

// "loop": where a for loop stands. It fetches one item ahead when asked for what comes next, as filters of a loop may
// depend on what its body has done.
struct Loop final : Object {
    Loop(Interpreter& in, const Stmt& s, ScopePtr o, Values values);
    bool advance();  // to the next item; false at the end
    const Value& current() const { return current_; }
    std::string_view type_name() const noexcept override { return "LoopContext"; }
    Value attribute(Env& env, std::string_view name) override;

  private:
    bool fetch(Value& into);
    bool peek();
    Int length();

    Interpreter& in_;
    const Stmt& stmt_;
    ScopePtr outer_;
    Values items_;
    Charge charge_;  // for items_
    size_t next_ = 0;
    Value previous_, current_, ahead_;
    bool has_ahead_ = false, passed_ = false;  // passed_: the rest of items_ has been through the loop's filter
    Int index0_ = -1, length_ = -1;
};

struct Macro final : Object {
    Macro(Interpreter& in, const Stmt& s, Scope* o) : Object(ObjectKind::macro), in_(in), stmt_(s), outer_(o) {}
    std::string_view type_name() const noexcept override { return "Macro"; }
    std::string repr() const override { return cat("<Macro '", stmt_.text, "'>"); }
    Value attribute(Env&, std::string_view) override { return {}; }
    bool callable() const noexcept override { return true; }
    Value call(Env& env, Args args) override;

  private:
    Interpreter& in_;
    const Stmt& stmt_;
    Scope* outer_;  // kept by the interpreter
};

}  // namespace elver::jinja
