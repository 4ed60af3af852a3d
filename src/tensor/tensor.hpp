// TensorView: typed, shaped bytes that someone else owns. Shapes are outermost first, [rows, columns], the reverse of
// the order a GGUF file writes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "base/text.hpp"
#include "tensor/dtype.hpp"

namespace elver {

class Shape {
  public:
    static constexpr int max_rank = 4;

    Shape() = default;
    Shape(std::initializer_list<int64_t> dims) {
        for (int64_t d : dims) push_back(d);
    }
    explicit Shape(std::span<const int64_t> dims) {
        for (int64_t d : dims) push_back(d);
    }

    int rank() const noexcept { return rank_; }
    int64_t operator[](int i) const noexcept { return dims_[static_cast<size_t>(i)]; }
    std::span<const int64_t> dims() const noexcept { return {dims_.data(), static_cast<size_t>(rank_)}; }
    // The product of all dimensions; a shape from a file was checked not to overflow.
    int64_t n_elements() const noexcept {
        int64_t n = 1;
        for (int64_t d : dims()) n *= d;
        return n;
    }
    // The innermost dimension, and the product of the others.
    int64_t columns() const noexcept { return rank_ == 0 ? 1 : dims_[static_cast<size_t>(rank_ - 1)]; }
    int64_t rows() const noexcept { return columns() == 0 ? 0 : n_elements() / columns(); }
    friend bool operator==(const Shape& a, const Shape& b) noexcept { return a.rank_ == b.rank_ && a.dims_ == b.dims_; }
    std::string text() const { return join_shape(dims()); }

  private:
    void push_back(int64_t d) noexcept {
        if (rank_ < max_rank) dims_[static_cast<size_t>(rank_++)] = d;
    }
    std::array<int64_t, max_rank> dims_{};
    int rank_ = 0;
};

// Borrowed, read-only. Rows are contiguous; the bytes are as many as type and shape say.
struct TensorView {
    DType type = DType::f32;
    Shape shape;
    std::span<const std::byte> bytes;

    const std::byte* row(int64_t i) const noexcept {
        return bytes.data() + static_cast<size_t>(i) * row_bytes(type, static_cast<size_t>(shape.columns()));
    }
};

}  // namespace elver
