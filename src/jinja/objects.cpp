#include "jinja/objects.hpp"

#include <algorithm>

#include "jinja/args.hpp"

namespace elver::jinja {

void Namespace::set(std::string_view name, Value value) {
    const auto it = std::find_if(attributes.begin(), attributes.end(), [&](auto& a) { return a.first == name; });
    if (it != attributes.end())
        it->second = std::move(value);
    else
        attributes.emplace_back(name, std::move(value));
}

Value Namespace::attribute(Env& env, std::string_view name) {
    env.budget.work(attributes.size() + 1);
    const auto it = std::find_if(attributes.begin(), attributes.end(), [&](auto& a) { return a.first == name; });
    return it == attributes.end() ? Value() : it->second;
}

Loop::Loop(Interpreter& in, const Stmt& s, ScopePtr o, Values values, int depth0)
    : Object(ObjectKind::loop),
      in_(in),
      stmt_(s),
      outer_(std::move(o)),
      items_(std::move(values)),
      charge_(&in.budget, items_.size() * sizeof(Value)),
      depth0_(depth0) {
    for (const Value& v : items_) depth = std::max(depth, depth_of(v) + 1);
    if (depth > Budget::max_depth) in.over_budget("a value is nested too deeply");
}

bool Loop::fetch(Value& into) {
    while (next_ < items_.size() && !in_.failed()) {
        const Value& item = items_[next_++];
        if (stmt_.test && !passed_ && !in_.loop_test(stmt_, outer_, item)) continue;
        into = item;
        return true;
    }
    return false;
}

bool Loop::peek() {
    if (!has_ahead_) has_ahead_ = fetch(ahead_);
    return has_ahead_;
}

bool Loop::advance() {
    Value item;
    if (has_ahead_) {
        item = std::move(ahead_);
        has_ahead_ = false;
    } else if (!fetch(item)) {
        return false;
    }
    previous_ = std::exchange(current_, std::move(item));
    ++index0_;
    return true;
}

Int Loop::length() {
    if (length_ >= 0) return length_;
    if (stmt_.test) {  // what is left passes the filter now
        Values rest;
        for (Value v; fetch(v);) rest.push_back(v);
        items_ = std::move(rest);
        next_ = 0;
        length_ = index0_ + 1 + (has_ahead_ ? 1 : 0) + static_cast<Int>(items_.size());
        passed_ = true;
    } else {
        length_ = static_cast<Int>(items_.size());
    }
    return length_;
}

Value Loop::cycle(Args& args) const {
    if (args.positional.empty()) return in_.fail("no items for cycling given");
    return args.positional[static_cast<size_t>(index0_) % args.positional.size()];
}

bool Loop::changed(Env& env, Values values) {
    bool differs = !seen_ || values.size() != last_seen_.size();
    for (size_t i = 0; !differs && i < values.size(); ++i) differs = !equal(env, values[i], last_seen_[i]);
    if (!std::exchange(seen_, true)) in_.clear_later(shared_from_this());
    if (differs) last_seen_ = std::move(values);
    return differs;
}

namespace {
Loop& loop_of(const Value& self) {
    return static_cast<Loop&>(*self.object());
}
Value loop_cycle(Env&, const Value& self, Args& args) {
    return loop_of(self).cycle(args);
}
Value loop_changed(Env& env, const Value& self, Args& args) {
    return Value(loop_of(self).changed(env, std::move(args.positional)));
}
}  // namespace

Value Loop::attribute(Env& env, std::string_view name) {
    if (name == "index") return Value(index0_ + 1);
    if (name == "index0") return Value(index0_);
    if (name == "first") return Value(index0_ == 0);
    if (name == "last") return Value(!peek());
    if (name == "length") return Value(length());
    if (name == "revindex") return Value(length() - index0_);
    if (name == "revindex0") return Value(length() - index0_ - 1);
    if (name == "depth") return Value(depth0_ + 1);
    if (name == "depth0") return Value(depth0_);
    if (name == "previtem") return index0_ == 0 ? env.undefined("there is no previous item") : previous_;
    if (name == "nextitem") return peek() ? ahead_ : env.undefined("there is no next item");
    const Value self(shared_from_this());
    if (name == "cycle") return env.bound("cycle", loop_cycle, self);
    if (name == "changed") return env.bound("changed", loop_changed, self);
    return {};
}

Value Loop::call(Env& env, Args args) {
    if (!stmt_.recursive) return env.fail("The loop must have the 'recursive' marker to be called recursively.");
    const Bound b(env, "loop", args, {"iterable"}, 1);
    return env.str(in_.loop_text(stmt_, outer_, iterate(env, b[0]), depth0_ + 1));
}

std::string Macro::repr() const {
    return stmt_.kind == StmtKind::call_block ? "<Macro anonymous>" : cat("<Macro '", stmt_.text, "'>");
}

Value Macro::attribute(Env& env, std::string_view name) {
    if (name == "name") return env.str(stmt_.text);
    if (name == "catch_kwargs") return Value(stmt_.wants_kwargs);
    if (name == "catch_varargs") return Value(stmt_.wants_varargs);
    if (name == "caller") return Value(stmt_.wants_caller);
    if (name != "arguments") return {};
    Values names;
    for (const ExprPtr& param : stmt_.params) names.push_back(env.str(param->name));
    return env.seq(SeqKind::tuple, std::move(names));
}

Value Macro::call(Env& env, Args args) {
    return env.str(in_.call_function(stmt_, outer_->shared_from_this(), std::move(args)));
}

Cycler::Cycler(Env& env, Values values) : Object(ObjectKind::cycler), items(std::move(values)) {
    for (const Value& v : items) depth = std::max(depth, depth_of(v) + 1);
    if (depth > Budget::max_depth) env.over_budget("a value is nested too deeply");
}

namespace {
Cycler& cycler_of(const Value& self) {
    return static_cast<Cycler&>(*self.object());
}
Value cycler_next(Env&, const Value& self, Args&) {
    Cycler& c = cycler_of(self);
    Value v = c.items[c.at];
    c.at = (c.at + 1) % c.items.size();
    return v;
}
Value cycler_reset(Env&, const Value& self, Args&) {
    cycler_of(self).at = 0;
    return Value(None{});
}
}  // namespace

Value Cycler::attribute(Env& env, std::string_view name) {
    if (name == "current") return items[at];
    const Value self(shared_from_this());
    if (name == "next") return env.bound("next", cycler_next, self);
    if (name == "reset") return env.bound("reset", cycler_reset, self);
    return {};
}

Value Joiner::call(Env& env, Args args) {
    Bound(env, "joiner", args, {});
    return std::exchange(used, true) ? separator : env.str("");
}

}  // namespace elver::jinja
