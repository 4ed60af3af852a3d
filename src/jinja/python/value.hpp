// The values a template computes with: Python's None, bool, int, float, str, list, tuple, dict and a few iterators,
// jinja2's Undefined, Markup and namespace. Values are immutable but for namespaces and one-shot iterators, so no
// cycles arise except through namespaces and macros, which the interpreter clears. Every allocation is charged to a
// Budget: a template is file content.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "base/text.hpp"
#include "jinja/python/text.hpp"

namespace elver::jinja {

// 128 bits hold every JSON integer that a parser gives as 64 bits, signed or not, and products of them.
__extension__ typedef __int128 Int;

// What one rendering may take, and how it failed. A failure is kept here, the first of them: code goes on after it with
// values that nobody will see, and every statement, expression and loop ends at once (Interpreter).
class Budget {
  public:
    static constexpr int max_depth = 300;  // of nested lists and dicts

    // From here on the template runs. Its limits are its own share and what the caller's variables took, some times.
    void start() {
        max_live_ = own_bytes + 4 * live_;
        work_left_ = own_work + 16 * live_;
    }
    void work(size_t n) {  // steps, and bytes or items handled
        if (n <= work_left_) {
            work_left_ -= n;
        } else {
            work_left_ = 0;
            over("the template takes too many steps");
        }
    }
    // A naive search; the second term is its worst case, a text full of beginnings of what is sought.
    void search(size_t n_text, size_t n_sought) {
        work(n_text / 8 + 1 + n_text / 64 * (n_sought < n_text ? n_sought : 1));
    }
    // Whether as much is left; what is taken is given back in any case.
    bool take(size_t n) {
        live_ += n;
        if (live_ > max_live_) over("the template takes too much memory");
        work(n / 16 + 1);
        return !failed();
    }
    void give(size_t n) noexcept { live_ -= n; }

    size_t max_text() const noexcept { return max_live_ / 2; }
    // Whether a text may grow: no value has been charged for it yet.
    bool grow(const std::string& text, size_t n) {
        if (text.size() > max_text() || n > max_text() - text.size()) over("the template makes too long a text");
        work(n / 16 + 1);
        return !failed();
    }
    void append(std::string& text, std::string_view piece) {
        if (grow(text, piece.size())) text += piece;
    }
    void append(Text& text, const Text& piece) { append(text, piece, piece.bytes); }
    void append(Text& text, const Text& whole, std::string_view part) {
        work(whole.typed.size() / 16);
        if (text.typed.size() > max_text() / sizeof(Range)) over("the template makes too long a text");
        if (grow(text.bytes, part.size())) text.append(whole, part);
    }

    int line = 1;  // of the statement or expression at work
    bool failed() const noexcept { return error_.has_value(); }
    const std::optional<Error>& error() const noexcept { return error_; }
    // The first failure stays.
    void stop(Error error) {
        if (!error_) error_ = std::move(error);
    }
    void over(std::string_view message) { stop(at_line(Status::over_budget, message)); }
    Error at_line(Status status, std::string_view message) const {
        return Error(status, cat("line ", line, ": ", message));
    }
    void forget_error() { error_.reset(); }

  private:
    static constexpr size_t own_bytes = size_t{64} << 20, own_work = 100'000'000;
    size_t max_live_ = SIZE_MAX / 2, work_left_ = SIZE_MAX, live_ = 0;
    std::optional<Error> error_;
};

// What a function returns when it fails: an empty value of whatever type it has.
struct Failed {
    template <class T>
    operator T() const {
        return T();
    }
};

// Bytes held of a budget, given back with the object that holds them. Template constants have no budget.
class Charge {
  public:
    Charge(Budget* budget, size_t n) : budget_(budget), n_(n) {
        if (budget_) budget_->take(n_);
    }
    Charge(const Charge&) = delete;
    Charge& operator=(const Charge&) = delete;
    ~Charge() {
        if (budget_) budget_->give(n_);
    }

  private:
    Budget* budget_;
    size_t n_;
};

struct Str;
using StrPtr = std::shared_ptr<const Str>;
struct Str {
    Str(Budget* budget, Text value, bool markup);
    const Text whole;         // valid UTF-8
    const std::string& text;  // its bytes
    const size_t n_chars;     // code points
    const bool safe;          // Markup: what is joined to it with + is HTML-escaped
    Charge charge;
    bool ascii() const noexcept { return n_chars == text.size(); }
};
StrPtr template_str(std::string text);  // one that stands in the template; no budget pays for it

struct Seq;
struct Dict;
struct Object;
struct None {
    bool operator==(const None&) const = default;
};
// What to say when an undefined value is used; null: a name without a value.
struct Undefined {
    std::shared_ptr<const std::string> message;
    bool security = false;
};

using SeqPtr = std::shared_ptr<Seq>;
using DictPtr = std::shared_ptr<const Dict>;
using ObjectPtr = std::shared_ptr<Object>;

class Value {
  public:
    Value() = default;  // undefined, without a message
    Value(None) : data_(None{}) {}
    Value(Undefined u) : data_(std::move(u)) {}
    Value(bool b) : data_(b) {}
    Value(Int i) : data_(i) {}
    Value(int i) : data_(static_cast<Int>(i)) {}
    Value(size_t i) : data_(static_cast<Int>(i)) {}
    Value(double d) : data_(d) {}
    Value(StrPtr s) : data_(std::move(s)) {}
    Value(SeqPtr s) : data_(std::move(s)) {}
    Value(DictPtr d) : data_(std::move(d)) {}
    Value(ObjectPtr o) : data_(std::move(o)) {}
    template <class T>
    Value(const T*) = delete;  // a pointer is not a bool

    template <class T>
    const T* as() const noexcept {
        return std::get_if<T>(&data_);
    }
    bool is_undefined() const noexcept { return as<Undefined>() != nullptr; }
    bool is_missing() const noexcept { return is_undefined() && !as<Undefined>()->message; }
    bool is_none() const noexcept { return as<None>() != nullptr; }
    const Str* str() const noexcept { return pointee<StrPtr>(); }
    Seq* seq() const noexcept { return pointee<SeqPtr>(); }
    const Dict* dict() const noexcept { return pointee<DictPtr>(); }
    Object* object() const noexcept { return pointee<ObjectPtr>(); }
    size_t index() const noexcept { return data_.index(); }

  private:
    template <class Ptr>
    typename Ptr::element_type* pointee() const noexcept {
        const Ptr* p = std::get_if<Ptr>(&data_);
        return p ? p->get() : nullptr;
    }
    std::variant<Undefined, None, bool, Int, double, StrPtr, SeqPtr, DictPtr, ObjectPtr> data_;
};

using Values = std::vector<Value>;
using Pairs = std::vector<std::pair<Value, Value>>;

enum class SeqKind { list, tuple, range, dict_items, dict_keys, dict_values, iterator };

struct Seq {
    Seq(Budget* budget, SeqKind k, Values values);
    const SeqKind kind;
    Values items;
    size_t next = 0;                       // iterator: the first item not yet taken
    std::shared_ptr<const Error> failure;  // iterator: fails so when the items before it are taken
    Int start = 0, stop = 0, step = 1;     // range: as given
    const int depth;
    Charge charge;
    bool indexable() const noexcept {
        return kind == SeqKind::list || kind == SeqKind::tuple || kind == SeqKind::range;
    }
};

// A dict in order of insertion; the last of equal keys wins, at the place of the first.
struct Dict {
    Dict(Budget* budget, Pairs pairs);
    Pairs items;
    const int depth;
    Charge charge;
    const Value* find(std::string_view key) const;
    const Value* find(Budget& budget, const Value& key) const;  // fails for a key that Python cannot hash

  private:
    std::unordered_map<std::string_view, size_t> index_;  // string keys
    bool all_strings_ = true;
};

struct Args {
    Values positional;
    std::vector<std::pair<std::string, Value>> named;
};

class Env;
enum class ObjectKind { function, macro, name_space, loop };

// Things with behaviour. A class per kind, in the files that make them.
struct Object {
    explicit Object(ObjectKind k) : kind(k) {}
    Object(const Object&) = delete;
    Object& operator=(const Object&) = delete;
    virtual ~Object() = default;
    const ObjectKind kind;
    int depth = 1;
    virtual std::string_view type_name() const noexcept = 0;
    virtual std::string repr() const { return cat("<", type_name(), ">"); }
    // A missing Value where there is no such attribute.
    virtual Value attribute(Env& env, std::string_view name) = 0;
    virtual bool callable() const noexcept { return false; }
    virtual Value call(Env& env, Args args);
};

// A native function or a method bound to self.
using Native = Value (*)(Env& env, const Value& self, Args& args);
using Test = bool (*)(Env& env, const Value& self, Args& args);
struct Function final : Object {
    Function(std::string_view n, Native f, Value s);
    const std::string name;
    const Native native;
    const Value self;
    std::string_view type_name() const noexcept override { return "builtin_function_or_method"; }
    Value attribute(Env&, std::string_view) override { return {}; }
    bool callable() const noexcept override { return true; }
    Value call(Env& env, Args args) override;
};

// The place a rendering happens in: its budget, its clock, and makers of values that charge the budget.
class Env {
  public:
    virtual ~Env() = default;
    virtual std::string strftime_now(std::string_view format) = 0;
    virtual Value make_namespace(Pairs attributes) = 0;

    Value str(std::string text, bool safe = false);  // counts as typed
    Value str(Text text, bool safe = false);
    Value part(const Str& of, std::string_view part);  // a part of its text, Markup if it is
    Value list(Values items);
    Value seq(SeqKind kind, Values items);
    Value iterator(Values items, std::shared_ptr<const Error> failure = nullptr);
    Value dict(Pairs items);
    Value bound(std::string_view name, Native native, const Value& self);
    Value undefined(std::string message, bool security = false);
    void charge_call(const Value& self, const Args& args);  // before native code reads them whole

    // The template's or the caller's fault.
    Failed fail(std::string_view message) {
        budget.stop(budget.at_line(Status::invalid_argument, message));
        return {};
    }
    Failed fail_unsupported(std::string_view message) {
        budget.stop(budget.at_line(Status::unsupported, message));
        return {};
    }
    Failed over_budget(std::string_view message) {
        budget.over(message);
        return {};
    }
    Failed fail_undefined(const Value& value);  // an undefined value that is used: fails with its message
    bool failed() const noexcept { return budget.failed(); }

    Budget budget;
    int depth = 0;  // nested evaluation
};

int depth_of(const Value& value) noexcept;
void need_hashable(Budget& budget, const Value& value);   // fails for what Python cannot keep in a set
std::string_view type_name(const Value& value) noexcept;  // Python's: "str", "dict", "NoneType", ...

bool truth(const Value& value);
bool equal(Budget& budget, const Value& a, const Value& b);
inline bool equal(Env& env, const Value& a, const Value& b) {
    return equal(env.budget, a, b);
}
bool same(const Value& a, const Value& b);                            // Python's "is"
bool less(Env& env, const Value& a, const Value& b, const char* op);  // a < b; fails where Python does
bool contains(Env& env, const Value& container, const Value& item);
size_t length(Env& env, const Value& value);
bool is_number(const Value& value) noexcept;  // bool, int or float
bool is_mapping(const Value& value) noexcept;
// The integer of a bool or int; fails naming what wants it.
Int to_int(Env& env, const Value& value, std::string_view what);
double to_double(const Value& value);  // of a number
// Takes every item; an iterator is empty afterwards. Fails for what Python cannot iterate.
Values iterate(Env& env, const Value& value);
bool is_iterable(const Value& value) noexcept;

// a.name and a["name"], with jinja2's order of attribute and item and its sandbox.
Value get_attribute(Env& env, const Value& value, std::string_view name);
Value get_item(Env& env, const Value& value, const Value& key);
// The integers from start until stop; fails where they are more than jinja2's sandbox allows.
Value make_range(Env& env, Int start, Int stop, Int step);
Value get_slice(Env& env, const Value& value, const Value& start, const Value& stop, const Value& step);

// Code points [first, last) of a string.
std::string_view char_range(const Str& s, size_t first, size_t last) noexcept;
std::string_view char_at(const Str& s, size_t i) noexcept;

}  // namespace elver::jinja
