// Any bytes as a session's snapshot. An odd first byte: the rest as it is. An even one: the rest is what a snapshot
// with a true head and a true sum holds, so that tokens, logits and cache of any bits come in. What is refused changes
// nothing; what is taken is saved as the same bytes, and goes on.
#include <algorithm>
#include <map>

#include "engine/session.hpp"
#include "formats/zstd_stream.hpp"
#include "tiny_model.hpp"

namespace {

using namespace elver;
using namespace elver::test;

std::vector<std::byte> saved(Session& session) {
    std::vector<std::byte> out;
    const auto done = session.save([&](std::span<const std::byte> bytes) -> Result<void> {
        out.insert(out.end(), bytes.begin(), bytes.end());
        return {};
    });
    check(static_cast<bool>(done));
    return out;
}

std::unique_ptr<Session> session_of(int n_tokens) {
    static const auto model = tiny_model();
    auto session = need(Session::make(model, {.n_ctx = 8, .max_batch = 4, .cache_type = {}}));
    const std::vector<int32_t> ids(static_cast<size_t>(n_tokens), 1);
    check(n_tokens == 0 || session->prefill(ids));
    return session;
}

// What a true snapshot of n tokens is made of.
struct Parts {
    std::vector<std::byte> head;  // what comes before the zstd frame
    std::vector<std::byte> contents;
};

const Parts& parts_of(int n_tokens) {
    static std::map<int, Parts> known;
    const auto [it, is_new] = known.try_emplace(n_tokens);
    Parts& parts = it->second;
    if (!is_new) return parts;
    const auto bytes = saved(*session_of(n_tokens));
    constexpr std::byte magic[] = {std::byte{0x28}, std::byte{0xB5}, std::byte{0x2F}, std::byte{0xFD}};
    const auto frame = std::search(bytes.begin(), bytes.end(), std::begin(magic), std::end(magic));
    parts.head.assign(bytes.begin(), frame);
    auto reader = need(ZstdReader::make({frame, bytes.end()}, "true"));
    for (std::byte b; reader.read({&b, 1});) parts.contents.push_back(b);
    return parts;
}

// Bytes in the place of a true snapshot's logits and cache, again and again if they are few.
std::vector<std::byte> with_true_head(int n_tokens, std::span<const std::byte> bytes) {
    Parts parts = parts_of(n_tokens);
    for (size_t i = 0, ids = static_cast<size_t>(n_tokens) * 4; ids + i < parts.contents.size(); ++i)
        parts.contents[ids + i] = bytes[i % bytes.size()];
    auto writer = need(ZstdWriter::make([&](std::span<const std::byte> more) -> Result<void> {
        parts.head.insert(parts.head.end(), more.begin(), more.end());
        return {};
    }));
    check(writer.write(parts.contents) && writer.finish());
    return parts.head;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 2) return 0;
    std::vector<std::byte> snapshot(size - 1);
    std::transform(data + 1, data + size, snapshot.begin(), [](uint8_t b) { return std::byte{b}; });
    if ((data[0] & 1) == 0) snapshot = with_true_head((data[0] >> 1) % 9, snapshot);
    static const auto session = session_of(3);
    const auto before = saved(*session);
    if (const auto done = session->restore(snapshot, "fuzz.snapshot"); !done) {
        check_error(done.error());
        check(saved(*session) == before);
        return 0;
    }
    const auto taken = saved(*session);
    check(static_cast<bool>(session_of(0)->restore(taken, "again")));
    if (session->n_past() < 8) check(static_cast<bool>(session->prefill(std::vector<int32_t>{2})));
    check(static_cast<bool>(session->restore(before, "before")));
    return 0;
}
