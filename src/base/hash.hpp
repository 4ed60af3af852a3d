// A 64-bit sum of bytes, for telling files apart and finding damage; no defence against forgers.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace elver {

// Depends on the bytes alone, not on how they were cut into calls of add.
class Hash64 {
  public:
    void add(std::span<const std::byte> bytes) noexcept {
        n_ += bytes.size();
        while (!bytes.empty()) {
            if (n_held_ == 0 && bytes.size() >= 8) {
                uint64_t word;
                std::memcpy(&word, bytes.data(), sizeof word);
                mix(word);
                bytes = bytes.subspan(8);
                continue;
            }
            held_ |= static_cast<uint64_t>(bytes[0]) << (8 * n_held_);
            bytes = bytes.subspan(1);
            if (++n_held_ == 8) mix(held_), held_ = 0, n_held_ = 0;
        }
    }
    void add(uint64_t number) noexcept { add(std::as_bytes(std::span(&number, 1))); }
    // Of all bytes so far.
    uint64_t value() const noexcept {
        Hash64 end = *this;
        end.mix(held_);
        end.mix(n_);
        return end.state_;
    }

  private:
    // Odd multipliers and a fold of the high half into the low one (as in SplitMix64, Steele et al. 2014).
    void mix(uint64_t word) noexcept {
        state_ = std::rotl(state_ ^ word * 0xbf58476d1ce4e5b9u, 27) * 0x94d049bb133111ebu;
        state_ ^= state_ >> 31;
    }
    uint64_t state_ = 0x9e3779b97f4a7c15u, held_ = 0, n_ = 0;
    int n_held_ = 0;
};

}  // namespace elver
