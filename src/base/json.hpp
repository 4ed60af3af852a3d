// JSON values, read from outside and written. Reading takes time linear in the text: objects with many keys and deep
// nesting are no way to hang or crash. A value is freed without an allocation, on a stack as deep as it is nested.
// Source: RFC 8259.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.hpp"

namespace elver {

class Json {
  public:
    using Array = std::vector<Json>;
    using Object = std::vector<std::pair<std::string, Json>>;  // in the order of insertion; no key is there twice

    Json() = default;  // null
    // Not the variant's: libstdc++ 12's destroys what is not there when memory runs out while it copies.
    Json(const Json& other);
    Json& operator=(const Json& other) { return *this = Json(other); }
    Json(Json&&) noexcept = default;
    Json& operator=(Json&&) noexcept = default;
    ~Json() = default;
    Json(bool value) : value_(value) {}
    template <std::integral T>
        requires(!std::same_as<T, bool>)
    Json(T value) {
        if (std::in_range<int64_t>(value))
            value_ = static_cast<int64_t>(value);
        else
            value_ = static_cast<uint64_t>(value);
    }
    Json(double value) : value_(value) {}
    Json(std::string value) : value_(std::move(value)) {}
    Json(std::string_view value) : value_(std::string(value)) {}
    Json(const char* value) : value_(std::string(value)) {}
    Json(Array items) : value_(std::move(items)) {}
    Json(Object members) : value_(std::move(members)) {}
    template <class T>
    Json(const std::vector<T>& items) : value_(Array(items.begin(), items.end())) {}
    static Json object(std::initializer_list<Object::value_type> members = {}) { return Json(Object(members)); }
    static Json array(std::initializer_list<Json> items = {}) { return Json(Array(items)); }

    bool is_null() const noexcept { return holds<std::monostate>(); }
    bool is_boolean() const noexcept { return holds<bool>(); }
    bool is_integer() const noexcept { return holds<int64_t>() || holds<uint64_t>(); }
    bool is_number() const noexcept { return is_integer() || holds<double>(); }
    bool is_string() const noexcept { return holds<std::string>(); }
    bool is_array() const noexcept { return holds<Array>(); }
    bool is_object() const noexcept { return holds<Object>(); }
    const char* type_name() const noexcept;  // "null", "boolean", "number", "string", "array" or "object"

    // What the value is; false, 0 or empty for one of another type.
    bool boolean() const noexcept { return is_boolean() && std::get<bool>(value_); }
    double number() const noexcept;
    bool fits_int64() const noexcept { return holds<int64_t>(); }
    int64_t int64() const noexcept { return fits_int64() ? std::get<int64_t>(value_) : 0; }
    uint64_t uint64() const noexcept {
        return holds<uint64_t>() ? std::get<uint64_t>(value_) : static_cast<uint64_t>(int64());
    }
    const std::string& text() const noexcept { return get<std::string>(); }
    const Array& items() const noexcept { return get<Array>(); }
    const Object& members() const noexcept { return get<Object>(); }
    bool is(std::string_view text) const noexcept { return is_string() && this->text() == text; }
    size_t size() const noexcept { return items().size() + members().size(); }
    bool empty() const noexcept { return size() == 0; }

    // To change a value of that type.
    Array& items() noexcept { return std::get<Array>(value_); }
    Object& members() noexcept { return std::get<Object>(value_); }
    void push_back(Json item) { items().push_back(std::move(item)); }

    // Of an object; null where it has no such key, and for other types.
    const Json* find(std::string_view key) const noexcept;
    Json* find(std::string_view key) noexcept { return const_cast<Json*>(std::as_const(*this).find(key)); }
    // The member, which is made as null if it is not there. Of an object, or of null, which becomes one.
    Json& operator[](std::string_view key);
    void erase(std::string_view key);

    // On one line, or with members and items on lines of their own, indented by n spaces a level. Invalid UTF-8 becomes
    // U+FFFD, numbers that are not finite null.
    std::string dump(int indent = -1) const;

  private:
    template <class T>
    bool holds() const noexcept {
        return std::holds_alternative<T>(value_);
    }
    template <class T>
    const T& get() const noexcept {
        static const T none;
        const T* value = std::get_if<T>(&value_);
        return value ? *value : none;
    }
    void append(std::string& out, int indent, int level) const;

    std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string, Array, Object> value_;
};

// Any JSON value. Of a key that comes twice the last value counts, at the first one's place, as in Python. `what` names
// the text in errors: what is no JSON (the byte is told), and more than 200 arrays and objects inside each other.
Result<Json> parse_json(std::string_view text, std::string_view what);

}  // namespace elver
