// Result<T>: a value or an Error. Everything inside src that can fail returns one; nothing throws across a room.
// An Error says what kind of failure it is, which object it speaks of, and a message a user can act on.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace elver {

// Values are the ABI's (elver.h); a test compares them.
enum class Status : int {
    ok = 0,
    invalid_argument = 1,  // the caller's value is wrong
    not_found = 2,         // a file, key, tensor or token that is not there
    io = 3,                // the system refused a read, write or map
    bad_file = 4,          // the bytes are not what their format says
    unsupported = 5,       // well-formed, but not something elver can run
    over_budget = 6,       // does not fit in the memory allowed
    out_of_memory = 7,     // the system refused memory
    cancelled = 8,         // the caller asked to stop
    context_full = 9,      // no room for more positions
    mismatch = 10,         // a snapshot or adapter made for something else
    busy = 11,             // used by another thread now
    internal = 12,         // a defect in elver
};

const char* status_name(Status status) noexcept;

class Error {
  public:
    Error(Status status, std::string message, std::string object = {})
        : status_(status), message_(std::move(message)), object_(std::move(object)) {}

    Status status() const noexcept { return status_; }
    const std::string& message() const noexcept { return message_; }
    // The file, tensor, key or field the error speaks of; may be empty.
    const std::string& object() const noexcept { return object_; }

    // "CONTEXT: message", for a caller that knows more (a file's name) than the place where the error arose.
    Error within(std::string_view context) && {
        message_.insert(0, ": ").insert(0, context);
        return std::move(*this);
    }

  private:
    Status status_;
    std::string message_;
    std::string object_;
};

template <class T>
class [[nodiscard]] Result {
  public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    explicit operator bool() const noexcept { return state_.index() == 0; }

    T& operator*() & noexcept { return *std::get_if<0>(&state_); }
    const T& operator*() const& noexcept { return *std::get_if<0>(&state_); }
    T&& operator*() && noexcept { return std::move(*std::get_if<0>(&state_)); }
    T* operator->() noexcept { return std::get_if<0>(&state_); }
    const T* operator->() const noexcept { return std::get_if<0>(&state_); }

    Error& error() & noexcept { return *std::get_if<1>(&state_); }
    const Error& error() const& noexcept { return *std::get_if<1>(&state_); }
    Error&& error() && noexcept { return std::move(*std::get_if<1>(&state_)); }

  private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
  public:
    Result() = default;
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    explicit operator bool() const noexcept { return state_.index() == 0; }
    Error& error() & noexcept { return *std::get_if<1>(&state_); }
    const Error& error() const& noexcept { return *std::get_if<1>(&state_); }
    Error&& error() && noexcept { return std::move(*std::get_if<1>(&state_)); }

  private:
    std::variant<std::monostate, Error> state_;
};

}  // namespace elver
