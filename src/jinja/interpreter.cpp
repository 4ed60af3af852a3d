// Statements here, expressions in evaluate.cpp.
#include "jinja/interpreter.hpp"

#include <algorithm>

#include "jinja/builtins.hpp"
#include "jinja/objects.hpp"
#include "jinja/python/print.hpp"

namespace elver::jinja {

Interpreter::~Interpreter() {
    // Namespaces and frames may hold each other.
    for (const auto& n : namespaces_) n->attributes.clear();
    for (const auto& s : kept_) s->slots.clear();
}

Result<Text> Interpreter::run(const Value& variables) {
    variables_ = variables;
    Text out;
    out_ = &out;
    exec(syntax_.body, enter(syntax_.frame, nullptr));
    if (failed()) return *budget.error();
    return out;
}

std::string Interpreter::strftime_now(std::string_view format) {
    if (!now_) now_ = now_local();
    auto text = format_time(*now_, format);
    if (text) return *std::move(text);
    return fail_unsupported(text.error().message());
}

Value Interpreter::make_namespace(Pairs attributes) {
    budget.take(sizeof(Namespace) + attributes.size() * 96);
    auto n = std::make_shared<Namespace>();
    for (auto& [key, value] : attributes) n->set(key.str()->text, std::move(value));
    namespaces_.push_back(n);
    return Value(ObjectPtr(std::move(n)));
}

ScopePtr Interpreter::enter(const Frame& frame, const ScopePtr& outer) {
    budget.work(frame.slots.size() + 1);
    auto scope = std::make_shared<Scope>();
    scope->parent = outer;
    scope->slots.resize(frame.slots.size());
    load(frame, *scope);
    return scope;
}

void Interpreter::load(const Frame& frame, Scope& scope) {
    for (size_t i = 0; i < frame.slots.size(); ++i) {
        const Load& from = frame.slots[i];
        switch (from.kind) {
            case LoadKind::parameter:
            case LoadKind::missing:
                scope.slots[i] = Value();
                break;
            case LoadKind::context:
                scope.slots[i] = resolve(from.name);
                break;
            case LoadKind::outer:
                scope.slots[i] = slot(*scope.parent, from.outer);
                break;
        }
    }
}

Value& Interpreter::slot(Scope& scope, SlotRef ref) {
    Scope* s = &scope;
    for (int i = 0; i < ref.hops; ++i) s = s->parent.get();
    return s->slots[static_cast<size_t>(ref.slot)];
}

Value Interpreter::resolve(const std::string& name) {
    if (const Value* v = variables_.dict()->find(std::string_view(name))) return *v;
    return find_global(*this, name);
}

Scope* Interpreter::keep(const ScopePtr& scope) {
    if (!std::exchange(scope->kept, true)) {
        budget.take(sizeof(Scope) + scope->slots.size() * sizeof(Value) + 32);
        kept_.push_back(scope);
    }
    return scope.get();
}

Interpreter::Flow Interpreter::exec(const Body& body, const ScopePtr& scope) {
    for (const StmtPtr& stmt : body) {
        const Flow flow = exec(*stmt, scope);
        if (flow != Flow::next) return flow;
    }
    return Flow::next;
}

Interpreter::Flow Interpreter::exec(const Stmt& stmt, const ScopePtr& scope) {
    if (failed()) return Flow::break_loop;
    budget.line = stmt.line;
    budget.work(1);
    const Deeper deeper(*this);
    switch (stmt.kind) {
        case StmtKind::text:
            if (budget.grow(out_->bytes, stmt.text.size())) out_->append_own(stmt.text);
            return Flow::next;
        case StmtKind::print:
            exec_print(stmt, scope);
            return Flow::next;
        case StmtKind::set:
            exec_set(stmt, scope);
            return Flow::next;
        case StmtKind::set_block:
            exec_set_block(stmt, scope);
            return Flow::next;
        case StmtKind::for_loop:
            exec_for(stmt, scope);
            return Flow::next;
        case StmtKind::if_else:
            return exec_if(stmt, scope);
        case StmtKind::macro:
            exec_macro(stmt, scope);
            return Flow::next;
        case StmtKind::filter_block:
            exec_filter_block(stmt, scope);
            return Flow::next;
        case StmtKind::with:
            return exec_with(stmt, scope);
        case StmtKind::break_loop:
            return Flow::break_loop;
        case StmtKind::continue_loop:
            return Flow::continue_loop;
    }
    return Flow::next;
}

void Interpreter::exec_print(const Stmt& stmt, const ScopePtr& scope) {
    const Value value = eval(*stmt.expr, *scope);
    append_text(*this, *out_, value);
}

Interpreter::Flow Interpreter::exec_if(const Stmt& stmt, const ScopePtr& scope) {
    for (const Branch& branch : stmt.branches) {
        if (!branch.test || truth(eval(*branch.test, *scope))) return exec(branch.body, scope);
    }
    return Flow::next;
}

Interpreter::Flow Interpreter::exec_with(const Stmt& stmt, const ScopePtr& scope) {
    Values values;
    for (const ExprPtr& value : stmt.defaults) values.push_back(eval(*value, *scope));
    const ScopePtr inner = enter(stmt.frame, scope);
    for (size_t i = 0; i < values.size(); ++i) assign(*stmt.params[i], values[i], *inner);
    return exec(stmt.body, inner);
}

void Interpreter::assign(const Expr& target, const Value& value, Scope& scope) {
    if (target.kind == ExprKind::name) {
        slot(scope, target.slot) = value;
        return;
    }
    if (target.kind == ExprKind::attribute_target) {
        const Value object = slot(scope, target.slot);
        if (!object.object() || object.object()->kind != ObjectKind::name_space) {
            fail("cannot assign attribute on non-namespace object");
            return;
        }
        Namespace& n = static_cast<Namespace&>(*object.object());
        budget.work(n.attributes.size());
        n.set(target.value.str()->text, value);
        return;
    }
    if (value.is_undefined() && !target.operands.empty()) {
        fail("not enough values to unpack");
        return;
    }
    const Values items = iterate(*this, value);
    if (items.size() != target.operands.size()) {
        fail(cat(items.size() < target.operands.size() ? "not enough" : "too many", " values to unpack (expected ",
                 target.operands.size(), ", found ", items.size(), ")"));
        return;
    }
    for (size_t i = 0; i < items.size(); ++i) assign(*target.operands[i], items[i], scope);
}

void Interpreter::exec_set(const Stmt& stmt, const ScopePtr& scope) {
    const Value value = eval(*stmt.expr, *scope);
    assign(*stmt.target, value, *scope);
}

Text Interpreter::captured(const Body& body, const ScopePtr& scope) {
    Text text;
    Text* const outer = std::exchange(out_, &text);
    exec(body, scope);
    out_ = outer;
    return text;
}

void Interpreter::exec_set_block(const Stmt& stmt, const ScopePtr& scope) {
    Value value = str(captured(stmt.body, enter(stmt.frame, scope)));
    if (stmt.expr) {
        const Value outer = std::exchange(filter_input_, value);
        value = eval(*stmt.expr, *scope);
        filter_input_ = outer;
    }
    assign(*stmt.target, value, *scope);
}

void Interpreter::exec_filter_block(const Stmt& stmt, const ScopePtr& scope) {
    const Value text = str(captured(stmt.body, enter(stmt.frame, scope)));
    const Value outer = std::exchange(filter_input_, text);
    const Value value = eval(*stmt.expr, *scope);
    filter_input_ = outer;
    if (!value.str()) fail(cat("the filter of a filter block gave ", type_name(value), ", expected str"));
    append_text(*this, *out_, value);
}

void Interpreter::exec_macro(const Stmt& stmt, const ScopePtr& scope) {
    assign(*stmt.target, Value(ObjectPtr(std::make_shared<Macro>(*this, stmt, keep(scope)))), *scope);
}

Text Interpreter::call_function(const Stmt& f, const ScopePtr& outer, Args args) {
    const Deeper deeper(*this);
    const int line = budget.line;
    const ScopePtr scope = enter(f.frame, outer);
    budget.work(f.params.size() * (args.named.size() + 1));
    const auto take = [&](std::string_view name, Value& into) {
        const auto it = std::find_if(args.named.begin(), args.named.end(), [&](auto& n) { return n.first == name; });
        if (it == args.named.end()) return false;
        into = std::move(it->second);
        args.named.erase(it);
        return true;
    };
    std::vector<bool> given(f.params.size());
    for (size_t i = 0; i < f.params.size(); ++i) {
        Value value;
        given[i] = i < args.positional.size();
        if (given[i])
            value = args.positional[i];
        else
            given[i] = take(f.params[i]->name, value);
        slot(*scope, f.params[i]->slot) = std::move(value);
    }
    const size_t n = f.params.size();
    if (!args.named.empty())
        return fail(cat("macro '", f.text, "' takes no keyword argument '", args.named.front().first, "'"));
    if (args.positional.size() > n) return fail(cat("macro '", f.text, "' takes not more than ", n, " argument(s)"));
    const size_t n_required = n - f.defaults.size();
    for (size_t i = 0; i < n; ++i) {
        if (given[i]) continue;
        Value& into = slot(*scope, f.params[i]->slot);
        if (i < n_required)
            into = undefined(cat("parameter '", f.params[i]->name, "' was not provided"));
        else
            into = eval(*f.defaults[i - n_required], *scope);
    }
    Text text = captured(f.body, scope);
    budget.line = line;
    return text;
}

bool Interpreter::loop_test(const Stmt& stmt, const ScopePtr& outer, const Value& item) {
    const ScopePtr scope = enter(stmt.test_frame, outer);
    assign(*stmt.test_target, item, *scope);
    return truth(eval(*stmt.test, *scope));
}

void Interpreter::exec_for(const Stmt& stmt, const ScopePtr& outer) {
    const Deeper deeper(*this);
    const Value over = eval(*stmt.expr, *outer);
    const auto loop = std::make_shared<Loop>(*this, stmt, outer, iterate(*this, over));
    const Value loop_value{ObjectPtr(loop)};
    const ScopePtr scope = enter(stmt.frame, outer);
    bool completed_one = false;
    for (bool fresh = true; loop->advance(); fresh = false) {
        budget.work(stmt.frame.slots.size() + 1);
        if (!fresh) load(stmt.frame, *scope);
        slot(*scope, stmt.loop) = loop_value;
        assign(*stmt.target, loop->current(), *scope);
        const Flow flow = exec(stmt.body, scope);
        if (flow == Flow::break_loop) break;
        if (flow == Flow::next) completed_one = true;  // jinja2 runs else after a continue or break in the first turn
    }
    if (!scope->kept) scope->slots.clear();  // the loop holds the frame outside, not this one
    if (!completed_one && !stmt.else_body.empty()) exec(stmt.else_body, enter(stmt.else_frame, outer));
}

}  // namespace elver::jinja
