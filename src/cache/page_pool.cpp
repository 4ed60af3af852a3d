#include "cache/page_pool.hpp"

#include <algorithm>
#include <new>

namespace elver {

namespace {

constexpr int few = 16;  // pages asked of the system at once where nobody said how many there will be

}  // namespace

int PagePool::kind(size_t page_bytes) {
    for (size_t i = 0; i < kinds_.size(); ++i) {
        if (kinds_[i].page_bytes == page_bytes) return static_cast<int>(i);
    }
    kinds_.push_back({page_bytes, 0, -1, {}, {}});
    return static_cast<int>(kinds_.size()) - 1;
}

void PagePool::expect(int kind, int n) noexcept {
    kinds_[static_cast<size_t>(kind)].expected = n;
}

bool PagePool::grow(Kind& kind) noexcept {
    const int n = kind.expected > 0 ? kind.expected : few;
    try {
        auto memory = AlignedBuffer::make(kind.page_bytes * static_cast<size_t>(n), "pages of the cache");
        if (!memory) return false;
        // The place of a chunk that was given back, if it had as many pages; its slots are there already.
        auto at = std::find_if(kind.chunks.begin(), kind.chunks.end(),
                               [n](const Chunk& c) { return c.memory.data() == nullptr && c.n == n; });
        if (at == kind.chunks.end()) {
            const auto first = static_cast<int32_t>(kind.pages.size());
            kind.pages.resize(kind.pages.size() + static_cast<size_t>(n));
            kind.chunks.push_back({AlignedBuffer(), first, n, 0});
            at = kind.chunks.end() - 1;
        }
        at->memory = *std::move(memory);
        for (int i = n - 1; i >= 0; --i) {
            const int32_t id = at->first + i;
            kind.pages[static_cast<size_t>(id)] = {at->memory.data() + static_cast<size_t>(i) * kind.page_bytes, 0,
                                                   static_cast<int32_t>(at - kind.chunks.begin()), kind.first_free};
            kind.first_free = id;
        }
    } catch (const std::bad_alloc&) {
        return false;
    }
    kind.expected = 0;
    reserved_ += kind.page_bytes * static_cast<size_t>(n);
    return true;
}

PagePool::Page PagePool::take(int number) noexcept {
    Kind& kind = kinds_[static_cast<size_t>(number)];
    system_refused_ = false;
    if (limit_ < kind.page_bytes || used_ > limit_ - kind.page_bytes) return {};
    if (kind.first_free < 0 && !grow(kind)) {
        system_refused_ = true;
        return {};
    }
    const int32_t id = kind.first_free;
    Slot& slot = kind.pages[static_cast<size_t>(id)];
    kind.first_free = slot.next_free;
    slot.held = 1;
    ++kind.chunks[static_cast<size_t>(slot.chunk)].n_held;
    used_ += kind.page_bytes;
    return {id, slot.data};
}

void PagePool::let_go(int number, int32_t id) noexcept {
    Kind& kind = kinds_[static_cast<size_t>(number)];
    Slot& slot = kind.pages[static_cast<size_t>(id)];
    if (--slot.held > 0) return;
    slot.next_free = kind.first_free;
    kind.first_free = id;
    used_ -= kind.page_bytes;
    Chunk& chunk = kind.chunks[static_cast<size_t>(slot.chunk)];
    if (--chunk.n_held == 0) give_back(kind, chunk);
}

void PagePool::give_back(Kind& kind, Chunk& chunk) noexcept {
    // The free list without this chunk's pages.
    int32_t* link = &kind.first_free;
    while (*link >= 0) {
        Slot& slot = kind.pages[static_cast<size_t>(*link)];
        if (*link >= chunk.first && *link < chunk.first + chunk.n)
            *link = slot.next_free;
        else
            link = &slot.next_free;
    }
    reserved_ -= kind.page_bytes * static_cast<size_t>(chunk.n);
    chunk.memory = AlignedBuffer();
}

}  // namespace elver
