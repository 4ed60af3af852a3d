// Binds the arguments of a call to the parameters of a native function, with Python's errors.
#pragma once

#include <initializer_list>
#include <optional>

#include "jinja/python/value.hpp"

namespace elver::jinja {

class Bound {
  public:
    // The first n_required parameters must be given. Fails for what does not fit.
    Bound(Env& env, std::string_view function, Args& args, std::initializer_list<std::string_view> params,
          size_t n_required = 0);

    bool has(size_t i) const { return !values_[i].is_missing(); }
    const Value& operator[](size_t i) const { return values_[i]; }
    Value get(size_t i, Value otherwise) const { return has(i) ? values_[i] : std::move(otherwise); }
    bool flag(size_t i, bool otherwise) const { return has(i) ? truth(values_[i]) : otherwise; }
    // None counts as not given.
    Int integer(size_t i, Int otherwise) const;
    // The text of a str argument; fails for other types.
    const std::string& text(size_t i) const { return whole(i).bytes; }
    const Text& whole(size_t i) const;

  private:
    Env& env_;
    std::string_view function_;
    std::vector<std::string_view> params_;
    Values values_;
};

}  // namespace elver::jinja
