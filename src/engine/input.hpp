// What a text goes on with.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace elver {

// In place of a token's id, at a position whose embedding a caller has given.
inline constexpr int32_t no_token = -1;

// Tokens, or rows of floats that take the place of tokens' embeddings. One of the two is empty.
struct Input {
    std::span<const int32_t> ids;
    std::span<const float> rows;  // [n_rows, width]

    Input() = default;
    Input(std::span<const int32_t> tokens) noexcept : ids(tokens) {}
    static Input of_rows(std::span<const float> rows) noexcept {
        Input input;
        input.rows = rows;
        return input;
    }
    size_t size(int width) const noexcept { return ids.size() + rows.size() / static_cast<size_t>(width); }
};

// Rows at consecutive positions, shared by a text and its forks. A text that has some does not slide.
struct EmbeddedRows {
    int first_pos;
    std::shared_ptr<const std::vector<float>> values;  // [n_rows, width]
};

}  // namespace elver
