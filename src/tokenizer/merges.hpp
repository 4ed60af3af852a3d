// The merges of byte pair encoding: a pair of ids → the rank of its merge and the id of the joined token. An open
// table, since half a million of them are looked up at every step of encoding.
#pragma once

#include <cstdint>
#include <vector>

namespace elver {

struct Merge {
    uint32_t rank = 0;
    int32_t id = -1;  // of the joined token
};

class MergeTable {
  public:
    // Room for n pairs.
    explicit MergeTable(size_t n = 0);

    // Keeps the first merge of a pair. False if the pairs were chosen to collide (no honest file does it).
    bool add(int32_t left, int32_t right, Merge merge);
    // Null when the pair does not merge.
    const Merge* find(int32_t left, int32_t right) const noexcept;

  private:
    struct Slot {
        uint64_t key = empty;
        Merge merge;
    };
    static constexpr uint64_t empty = ~uint64_t{0};
    static constexpr size_t longest_probe = 512;

    static uint64_t key_of(int32_t left, int32_t right) noexcept {
        return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
    }
    size_t slot_of(uint64_t key) const noexcept {  // splitmix64's finaliser
        key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9ull;
        key = (key ^ (key >> 27)) * 0x94d049bb133111ebull;
        return static_cast<size_t>(key ^ (key >> 31)) & mask_;
    }

    std::vector<Slot> slots_;  // a power of two, at least twice the pairs
    size_t mask_ = 0;
};

inline MergeTable::MergeTable(size_t n) {
    size_t size = 2;
    while (size < 2 * n) size *= 2;
    slots_.resize(size);
    mask_ = size - 1;
}

inline bool MergeTable::add(int32_t left, int32_t right, Merge merge) {
    const uint64_t key = key_of(left, right);
    for (size_t at = slot_of(key), step = 0; step < longest_probe; ++step, at = (at + 1) & mask_) {
        if (slots_[at].key == key) return true;
        if (slots_[at].key == empty) {
            slots_[at] = {key, merge};
            return true;
        }
    }
    return false;
}

inline const Merge* MergeTable::find(int32_t left, int32_t right) const noexcept {
    const uint64_t key = key_of(left, right);
    for (size_t at = slot_of(key);; at = (at + 1) & mask_) {
        if (slots_[at].key == key) return &slots_[at].merge;
        if (slots_[at].key == empty) return nullptr;
    }
}

}  // namespace elver
