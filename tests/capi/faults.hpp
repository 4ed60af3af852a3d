// Calls that a system may refuse, made to fail one at a time: a test runs an operation once for each of them. The
// program's own malloc, mmap, open, write and so on take the place of the C library's, for the library under test too.
#pragma once

#include <cstdint>

namespace faults {

enum class Kind : uint8_t {
    memory,  // malloc, calloc, realloc, aligned_alloc, and mmap of memory
    system,  // opening, mapping, reading, writing, flushing and renaming files: an error
    partial  // write: takes a part of the bytes, or is interrupted by a signal; neither is a failure
};

// While it lives, calls of a kind on this thread are counted and number n (from 0) fails; -1: none does.
class Watch {
  public:
    Watch(Kind kind, int64_t n) noexcept;
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    // Whether call n came.
    bool failed() const noexcept;
};

// What the program holds: blocks of malloc and their bytes, bytes of mmap, open descriptors.
struct Held {
    int64_t blocks, bytes, mapped, descriptors;
    friend bool operator==(const Held&, const Held&) = default;
};
Held held() noexcept;

}  // namespace faults
