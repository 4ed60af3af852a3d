// Memory for the pages of many texts, within a limit. Pages of one size are a kind of their own. A page is shared by
// count: it is free again when its last holder lets go. Not locked: those who share a pool lock it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.hpp"

namespace elver {

class PagePool {
  public:
    struct Page {
        int32_t id = -1;
        std::byte* data = nullptr;

        explicit operator bool() const noexcept { return id >= 0; }
    };

    // limit: bytes of all pages that are in use at a time.
    explicit PagePool(size_t limit = SIZE_MAX) noexcept : limit_(limit) {}
    PagePool(const PagePool&) = delete;
    PagePool& operator=(const PagePool&) = delete;

    // The kind of pages of that size, 1 byte or more.
    int kind(size_t page_bytes);
    // The next memory asked of the system for this kind will have room for n pages; a few otherwise.
    void expect(int kind, int n) noexcept;

    // A page held once; its content is what it was. None where the limit, or the system, does not allow one.
    Page take(int kind) noexcept;
    void hold(int kind, int32_t id) noexcept {
        ++kinds_[static_cast<size_t>(kind)].pages[static_cast<size_t>(id)].held;
    }
    void let_go(int kind, int32_t id) noexcept;
    int n_held(int kind, int32_t id) const noexcept {
        return kinds_[static_cast<size_t>(kind)].pages[static_cast<size_t>(id)].held;
    }
    std::byte* data(int kind, int32_t id) const noexcept {
        return kinds_[static_cast<size_t>(kind)].pages[static_cast<size_t>(id)].data;
    }
    size_t page_bytes(int kind) const noexcept { return kinds_[static_cast<size_t>(kind)].page_bytes; }

    // Bytes of the pages in use, and the most that there may be; a lower limit takes no page back.
    size_t used() const noexcept { return used_; }
    size_t limit() const noexcept { return limit_; }
    void set_limit(size_t limit) noexcept { limit_ = limit; }
    // Whether it was the system that refused the last page which could not be taken, and not the limit.
    bool system_refused() const noexcept { return system_refused_; }
    // Bytes that are held of the system, those of free pages included.
    size_t reserved() const noexcept { return reserved_; }

  private:
    struct Slot {
        std::byte* data;
        int32_t held;
        int32_t chunk;
        int32_t next_free;  // -1: the last
    };
    struct Chunk {
        AlignedBuffer memory;
        int32_t first, n, n_held;
    };
    struct Kind {
        size_t page_bytes;
        int expected = 0;
        int32_t first_free = -1;
        std::vector<Slot> pages;
        std::vector<Chunk> chunks;
    };
    bool grow(Kind& kind) noexcept;
    void give_back(Kind& kind, Chunk& chunk) noexcept;

    size_t limit_, used_ = 0, reserved_ = 0;
    bool system_refused_ = false;
    std::vector<Kind> kinds_;
};

}  // namespace elver
