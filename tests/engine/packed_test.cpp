// Packed files give the bits of the file they were made from.
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "base/file_writer.hpp"
#include "kernels/select.hpp"
#include "memory.hpp"
#include "message_of.hpp"
#include "models.hpp"

using namespace elver;
using namespace elver::test;

namespace {

std::vector<std::byte> packed(const Model& model) {
    std::vector<std::byte> out;
    const auto done = model.pack(
        [&](std::span<const std::byte> bytes) -> Result<void> {
            out.insert(out.end(), bytes.begin(), bytes.end());
            return {};
        },
        {});
    REQUIRE_MESSAGE(done, message_of(done));
    return out;
}

// Bytes at a page's beginning, as a mapped file has them.
struct Aligned {
    AlignedBuffer memory;
    explicit Aligned(std::span<const std::byte> bytes) {
        auto made = AlignedBuffer::make(bytes.size(), "test");
        REQUIRE(made);
        memory = *std::move(made);
        std::memcpy(memory.data(), bytes.data(), bytes.size());
    }
    Result<std::shared_ptr<Model>> open(const std::string& isa = "") const {
        ModelOptions options;
        options.n_threads = 2;
        options.isa = isa;
        return Model::open(ByteSource::borrow(memory.bytes(), "packed"), options);
    }
};

class TemporaryFile {
  public:
    explicit TemporaryFile(const char* name)
        : path_(std::filesystem::temp_directory_path() / (std::string(name) + "-" + std::to_string(getpid()))) {}
    ~TemporaryFile() { std::filesystem::remove(path_); }
    std::string path() const { return path_.string(); }

  private:
    std::filesystem::path path_;
};

bool reads_packs(const Model& model) {
    return model.kernels().reads_packs;
}

}  // namespace

TEST_CASE("packed files: the same logits, bit for bit, and packed again the same file") {
    // Tied heads, heads of their own, fused qkv, odd numbers of rows, biases.
    for (const char* name : {"llama", "llama-q4_0", "gemma3", "phi2-fused", "falcon-7b-style", "gpt2"}) {
        CAPTURE(name);
        const auto model = load(tiny_path(name), 2);
        if (!reads_packs(*model)) return;
        const auto bytes = packed(*model);
        const Aligned file(bytes);
        const auto again = file.open();
        REQUIRE_MESSAGE(again, message_of(again));
        REQUIRE((*again)->load({}, nullptr));
        const auto ids = random_ids(30, model->spec().n_vocab);
        const SessionOptions options{.n_ctx = 64, .max_batch = 16, .cache_type = {}};
        CHECK(all_logits(*open_session(model, options), ids) == all_logits(*open_session(*again, options), ids));
        CHECK(packed(**again) == bytes);
    }
}

TEST_CASE("packed files: every level but the reference writes the same bytes and reads them") {
    const std::string path = tiny_path("llama-q4_0");
    const auto first = load(path, 2);
    if (!reads_packs(*first)) return;
    const auto bytes = packed(*first);
    const Aligned file(bytes);
    for (const std::string level : available_kernels()) {
        CAPTURE(level);
        const auto again = file.open(level);
        CHECK(bool(again) == (level != "reference"));
        if (!again) continue;
        const auto model = load(path, 2, level);
        CHECK(packed(*model) == bytes);
        REQUIRE((*again)->load({}, nullptr));
        const auto ids = random_ids(10, model->spec().n_vocab);
        const SessionOptions options{.n_ctx = 16, .max_batch = 16, .cache_type = {}};
        CHECK(all_logits(*open_session(model, options), ids) == all_logits(*open_session(*again, options), ids));
    }
}

TEST_CASE("packed files: mapped, a model takes no memory of its own but its vectors") {
    const auto model = load(smollm2_path(), 2);
    if (!reads_packs(*model)) return;
    const TemporaryFile file("elver-packed.gguf");
    double done = 0;
    const auto progress = [&](double fraction) {
        CHECK(fraction >= done);
        done = fraction;
        return true;
    };
    REQUIRE(write_file(file.path(), [&](const ByteSink& sink) { return model->pack(sink, progress); }));
    CHECK(done == 1.0);
    const auto mapped = load(file.path(), 2);
    const auto ids = random_ids(20, model->spec().n_vocab);
    const SessionOptions options{.n_ctx = 64, .max_batch = 32, .cache_type = {}};
    const auto a = open_session(model, options), b = open_session(mapped, options);
    REQUIRE(a->prefill(ids));
    REQUIRE(b->prefill(ids));
    CHECK(std::equal(a->logits().begin(), a->logits().end(), b->logits().begin(), b->logits().end()));
    CHECK(mapped->plan(options)->weights == model->plan(options)->weights);
    const int64_t before = resident().own;
    if (before == 0) return;
    const auto another = load(file.path(), 2);
    CHECK(resident().own - before < (24 << 20));  // its vocabulary, mostly
}

TEST_CASE("packed files: damage, another layout and a level that reads no packs are errors") {
    const auto model = load(tiny_path("llama"), 1);
    if (!reads_packs(*model)) return;
    const auto bytes = packed(*model);
    const auto open = [&](const std::vector<std::byte>& b, const char* isa = "") {
        const auto opened = Aligned(b).open(isa);
        REQUIRE(!opened);
        return opened.error();
    };
    const auto replaced = [&](const std::string& from, const std::string& to) {
        auto out = bytes;
        const auto* begin = reinterpret_cast<const char*>(out.data());
        const size_t at = std::string_view(begin, out.size()).find(from);
        REQUIRE(at != std::string_view::npos);
        std::memcpy(out.data() + at, to.data(), to.size());
        return out;
    };
    CHECK(open(bytes, "reference").status() == Status::mismatch);
    const Error layout = open(replaced("c4.3", "c9.7"));
    CHECK(layout.status() == Status::mismatch);
    CHECK(layout.message().find("c9.7") != std::string::npos);
    CHECK(open(replaced("blk.0.attn_norm", "blk.9.attn_norm")).status() == Status::bad_file);
    // Every byte of the head counts; so do those of the small tensors, at the end.
    const Aligned file(bytes);
    const auto whole = file.open();
    REQUIRE(whole);
    const size_t head = (*whole)->file().tensors().front().offset;
    const GgufTensor& norm = *(*whole)->file().find_tensor("output_norm.weight");
    for (const size_t i : {size_t{200}, head / 2, head - 1, norm.offset + 5}) {
        auto damaged = bytes;
        damaged[i] ^= std::byte{1};
        CAPTURE(i);
        CHECK(!Aligned(damaged).open());
    }
    for (const size_t n : {size_t{0}, size_t{100}, head - 1, bytes.size() / 2, bytes.size() - 4096}) {
        CAPTURE(n);
        if (n > 0) CHECK(!Aligned(std::span(bytes).first(n)).open());
    }
}
