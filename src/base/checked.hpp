// Overflow-checked arithmetic for numbers that come from files and callers.
#pragma once

#include <concepts>
#include <cstddef>
#include <optional>

namespace elver {

template <std::integral T>
constexpr std::optional<T> checked_add(T a, T b) noexcept {
    T out;
    if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
    return out;
}

template <std::integral T>
constexpr std::optional<T> checked_mul(T a, T b) noexcept {
    T out;
    if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
    return out;
}

// The least multiple of alignment (a power of two) that is not below value; the caller knows it does not overflow.
constexpr size_t round_up(size_t value, size_t alignment) noexcept {
    return (value + alignment - 1) & ~(alignment - 1);
}

constexpr size_t ceil_div(size_t a, size_t b) noexcept {
    return (a + b - 1) / b;
}

}  // namespace elver
