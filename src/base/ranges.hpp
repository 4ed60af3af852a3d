// Ranges of bytes in a text: ascending, apart from each other and never empty.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace elver {

struct Range {
    size_t begin, end;
    bool operator==(const Range&) const = default;
};

class Ranges {
  public:
    Ranges() = default;
    Ranges(size_t begin, size_t end) { add(begin, end); }

    bool empty() const noexcept { return ranges_.empty(); }
    size_t size() const noexcept { return ranges_.size(); }
    auto begin() const noexcept { return ranges_.begin(); }
    auto end() const noexcept { return ranges_.end(); }
    bool operator==(const Ranges&) const = default;

    // Adds a range behind all others. One that touches the last is joined to it.
    void add(size_t begin, size_t end) {
        if (begin >= end) return;
        if (!ranges_.empty() && ranges_.back().end == begin)
            ranges_.back().end = end;
        else
            ranges_.push_back({begin, end});
    }
    // Adds the part of other ranges that lies in [begin, end), moved so that begin comes to stand at `at`.
    void add(const Ranges& other, size_t begin, size_t end, size_t at) {
        for (auto r = other.first_behind(begin); r != other.end() && r->begin < end; ++r)
            add(at + std::max(r->begin, begin) - begin, at + std::min(r->end, end) - begin);
    }
    // Whether a byte of [begin, end) lies in a range.
    bool overlap(size_t begin, size_t end) const noexcept {
        const auto r = first_behind(begin);
        return r != ranges_.end() && r->begin < end;
    }

  private:
    // The first range that ends behind a byte.
    std::vector<Range>::const_iterator first_behind(size_t at) const noexcept {
        return std::upper_bound(ranges_.begin(), ranges_.end(), at, [](size_t x, const Range& r) { return x < r.end; });
    }
    std::vector<Range> ranges_;
};

}  // namespace elver
