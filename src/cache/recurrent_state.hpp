// What a session's recurrent layers remember of its text: a few numbers a layer, however long the text. A pass reads
// the state before it and writes another, which takes its place when the pass is complete, so a cancelled pass leaves
// no trace. States at the ends of the last prefill passes are kept to go back to, and so is that before the last pass.
#pragma once

#include <span>
#include <vector>

#include "base/bytes.hpp"

namespace elver {

class RecurrentState {
  public:
    // layer_floats: each layer's part; 0 for a layer that is not recurrent.
    static size_t plan_bytes(const std::vector<size_t>& layer_floats) noexcept;
    static Result<RecurrentState> make(const std::vector<size_t>& layer_floats);

    bool empty() const noexcept { return n_floats_ == 0; }

    const float* before(int layer) const noexcept { return slot(now_) + offsets_[static_cast<size_t>(layer)]; }
    float* after(int layer) noexcept { return slot(1 - now_) + offsets_[static_cast<size_t>(layer)]; }

    // A pass is about to write the state after it.
    void begin_pass() noexcept { before_ = -1; }
    // The pass that ends at n_past is complete. keep: go_back() will find it, until two others were kept.
    void commit(int n_past, bool keep) noexcept;

    // The greatest position up to n_past that go_back() can reach from here; all of them for a model without such
    // layers, at least 0 else.
    int nearest(int n_past) const noexcept;
    // To nearest(n_past), which n_past must be.
    void go_back(int n_past) noexcept;

    // The state after the text so far, for a snapshot. After writing there, call restored() with the text's length.
    std::span<std::byte> bytes() noexcept {
        return {reinterpret_cast<std::byte*>(slot(now_)), n_floats_ * sizeof(float)};
    }
    void restored(int n_past) noexcept;
    // Becomes what another of the same layers is.
    void copy(const RecurrentState& other) noexcept;

  private:
    static constexpr int n_kept = 2;

    // 0 and 1: before and after, which change places with each pass; then those kept.
    float* slot(int i) noexcept { return memory_.as<float>(0) + static_cast<size_t>(i) * n_floats_; }
    const float* slot(int i) const noexcept { return const_cast<RecurrentState*>(this)->slot(i); }

    std::vector<size_t> offsets_;
    size_t n_floats_ = 0;  // of a state
    AlignedBuffer memory_;
    int now_ = 0, n_past_ = 0;
    int before_ = -1;              // the position of the state in the other slot; -1: none
    int kept_[n_kept] = {-1, -1};  // their positions; -1: none
    int oldest_ = 0;               // of those kept
};

}  // namespace elver
