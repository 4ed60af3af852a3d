#include "jinja/objects.hpp"

#include <algorithm>

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

Loop::Loop(Interpreter& in, const Stmt& s, ScopePtr o, Values values)
    : Object(ObjectKind::loop),
      in_(in),
      stmt_(s),
      outer_(std::move(o)),
      items_(std::move(values)),
      charge_(&in.budget, items_.size() * sizeof(Value)) {
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

Value Loop::attribute(Env& env, std::string_view name) {
    if (name == "index") return Value(index0_ + 1);
    if (name == "index0") return Value(index0_);
    if (name == "first") return Value(index0_ == 0);
    if (name == "last") return Value(!peek());
    if (name == "length") return Value(length());
    if (name == "revindex") return Value(length() - index0_);
    if (name == "revindex0") return Value(length() - index0_ - 1);
    if (name == "previtem") return index0_ == 0 ? env.undefined("there is no previous item") : previous_;
    if (name == "nextitem") return peek() ? ahead_ : env.undefined("there is no next item");
    static constexpr std::string_view others[] = {"cycle", "changed", "depth", "depth0"};
    if (std::find(std::begin(others), std::end(others), name) != std::end(others))
        return env.fail_unsupported(cat("loop.", name, " is not supported"));
    return {};
}

Value Macro::call(Env& env, Args args) {
    return env.str(in_.call_function(stmt_, outer_->shared_from_this(), std::move(args)));
}

}  // namespace elver::jinja
