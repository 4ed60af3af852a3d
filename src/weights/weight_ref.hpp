#pragma once

namespace elver {

// A weight by its number among a model's weights: a packed matrix, an f32 vector or rows of the file. Its bytes are
// asked of Weights each time they are used, so that they need not lie where they lay before.
struct WeightRef {
    int number = -1;

    bool there() const noexcept { return number >= 0; }
    friend bool operator==(WeightRef, WeightRef) = default;
};

}  // namespace elver
