// Session snapshots: a head of fixed size that says what the snapshot is of, then a zstd frame of the tokens' ids (-1
// where a row was given in place of one), those rows, the logits after the last, and the pages of the cache that the
// next token sees. All numbers are little-endian.
#include <algorithm>
#include <cstring>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "engine/session.hpp"
#include "formats/zstd_stream.hpp"

namespace elver {

namespace {

constexpr char magic[8] = {'e', 'l', 'v', 'e', 'r', 's', 'e', 's'};
// Counts changes of the layout, of the cache's pages, and of what kernels put into them.
constexpr uint32_t version = 4;
// Of texts without end: what a hostile head may make us allocate for their ids is 256 MiB.
constexpr int most_positions = 1 << 26;

}  // namespace

struct Session::SnapshotHead {
    char magic[8];
    uint32_t version;
    uint32_t cache_type;
    uint64_t model;  // its fingerprint
    char isa[24];    // the level whose bits these are; padded with zeros
    int32_t n_ctx, max_batch;
    int32_t n_past;
    int32_t has_logits;
    uint64_t sum;  // of all before it
};

uint64_t Model::fingerprint() const noexcept {
    Hash64 hash;
    const auto text = [&](std::string_view s) {
        hash.add(uint64_t{s.size()});
        hash.add(std::as_bytes(std::span(s.data(), s.size())));
    };
    for (const auto& [key, value] : file_->metadata()) {
        text(key);
        hash.add(static_cast<uint64_t>(value.type()));
        hash.add(value.raw());
    }
    for (const GgufTensor& t : file_->tensors()) {
        text(t.name);
        hash.add(static_cast<uint64_t>(t.view.type));
        for (const int64_t d : t.view.shape.dims()) hash.add(static_cast<uint64_t>(d));
        // Weights differ everywhere when they differ: two samples a tensor tell.
        const auto bytes = t.view.bytes;
        const size_t n = std::min<size_t>(bytes.size(), 64);
        hash.add(bytes.first(n));
        hash.add(bytes.subspan((bytes.size() - n) / 2, n));
    }
    return hash.value();
}

Session::SnapshotHead Session::snapshot_head() const noexcept {
    SnapshotHead head{};
    std::memcpy(head.magic, magic, sizeof magic);
    head.version = version;
    const SequenceOptions& options = sequence_->options();
    head.cache_type = static_cast<uint32_t>(options.cache_type);
    head.model = model_->fingerprint();
    const std::string_view isa = model_->kernels().name;
    std::memcpy(head.isa, isa.data(), std::min(isa.size(), sizeof head.isa - 1));
    head.n_ctx = options.n_ctx, head.max_batch = options.max_batch;
    head.n_past = n_past();
    head.has_logits = !logits().empty();
    return head;
}

namespace {

uint64_t sum_of(std::span<const std::byte> bytes) noexcept {
    Hash64 hash;
    hash.add(bytes);
    return hash.value();
}

// The rows of a text. Memory is asked for piece by piece: a hostile head says of no more bytes than there are.
Result<std::vector<EmbeddedRows>> read_rows(ZstdReader& reader, std::span<const int32_t> ids, size_t width) {
    constexpr size_t most = 256;
    std::vector<EmbeddedRows> rows;
    for (size_t first = 0, n = 0; first < ids.size(); first += std::max<size_t>(n, 1)) {
        for (n = 0; n < most && first + n < ids.size() && ids[first + n] == no_token;) ++n;
        if (n == 0) continue;
        std::vector<float> values(n * width);
        if (auto done = reader.read(std::as_writable_bytes(std::span(values))); !done) return std::move(done).error();
        rows.push_back({static_cast<int>(first), std::make_shared<const std::vector<float>>(std::move(values))});
    }
    return rows;
}

}  // namespace

Result<void> Session::save(const ByteSink& sink) {
    if (auto good = check({}, n_past()); !good) return good;
    const Request request(*this);
    return model_->engine().read(*sequence_, [&](std::span<const std::span<std::byte>> memory) -> Result<void> {
        SnapshotHead head = snapshot_head();
        const auto bytes = std::as_bytes(std::span(&head, 1));
        head.sum = sum_of(bytes.first(offsetof(SnapshotHead, sum)));
        if (auto done = sink(bytes); !done) return done;
        auto writer = ZstdWriter::make(sink);
        if (!writer) return std::move(writer).error();
        if (auto done = writer->write(std::as_bytes(ids())); !done) return done;
        const int width = model_->spec().width;
        for (int pos = 0; pos < n_past() && !sequence_->rows().empty(); ++pos) {
            const float* row = sequence_->row_at(pos, width);
            if (row == nullptr) continue;
            if (auto done = writer->write(std::as_bytes(std::span(row, static_cast<size_t>(width)))); !done)
                return done;
        }
        if (auto done = writer->write(std::as_bytes(logits())); !done) return done;
        for (const std::span<std::byte> part : memory) {
            if (auto done = writer->write(part); !done) return done;
        }
        return writer->finish();
    });
}

Result<void> Session::restore(std::span<const std::byte> snapshot, std::string_view name_view) {
    const std::string name(name_view);
    const auto bad = [&](std::string_view what) { return Error(Status::bad_file, cat(name, ": ", what), name); };
    SnapshotHead head;
    if (snapshot.size() < sizeof head || std::memcmp(snapshot.data(), magic, sizeof magic) != 0)
        return bad("not a session snapshot");
    std::memcpy(&head, snapshot.data(), sizeof head);
    const SnapshotHead own = snapshot_head();
    const auto mismatch = [&](std::string_view what, auto expected, auto found) {
        return Error(Status::mismatch, cat(name, ": ", what, ": the session has ", expected, ", the snapshot ", found),
                     std::string(what));
    };
    if (head.version != own.version) return mismatch("snapshot version", own.version, head.version);
    if (head.sum != sum_of(snapshot.first(offsetof(SnapshotHead, sum)))) return bad("the head is damaged");
    if (head.model != own.model)
        return Error(Status::mismatch,
                     cat(name, ": the snapshot was made with another model than ", model_->file().name()), "model");
    head.isa[sizeof head.isa - 1] = '\0';
    if (std::strcmp(head.isa, own.isa) != 0)
        return mismatch("instruction set", std::string_view(own.isa), std::string_view(head.isa));
    if (head.cache_type != own.cache_type) return mismatch("cache_type", own.cache_type, head.cache_type);
    if (head.n_ctx != own.n_ctx) return mismatch("n_ctx", own.n_ctx, head.n_ctx);
    if (head.max_batch != own.max_batch) return mismatch("max_batch", own.max_batch, head.max_batch);
    if (head.n_past < 0 || head.n_past > std::min(n_ctx(), most_positions) || head.has_logits < 0 ||
        head.has_logits > int{model_->spec().has_head})
        return bad("the head's numbers cannot be");

    std::vector<int32_t> ids(static_cast<size_t>(head.n_past));
    const auto frame = snapshot.subspan(sizeof head);
    auto reader = ZstdReader::make(frame, name);
    if (!reader) return std::move(reader).error();
    if (auto done = reader->read(std::as_writable_bytes(std::span(ids))); !done) return done;
    for (const int32_t id : ids) {
        if (id != no_token && (id < 0 || id >= model_->spec().n_vocab)) return bad("a token is not in the vocabulary");
    }
    auto rows = read_rows(*reader, ids, static_cast<size_t>(model_->spec().width));
    if (!rows) return std::move(rows).error();
    const auto fill = [&](std::span<float> logits, std::span<const std::span<std::byte>> memory) -> Result<void> {
        if (auto done = reader->read(std::as_writable_bytes(logits)); !done) return done;
        for (const std::span<std::byte> part : memory) {
            if (auto done = reader->read(part); !done) return done;
        }
        return reader->end();
    };
    auto done = model_->engine().restore(*sequence_, std::move(ids), *std::move(rows), head.has_logits != 0, fill);
    if (done) ++edits_;
    return done;
}

}  // namespace elver
