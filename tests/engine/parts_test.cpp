// A model in parts is the model: its logits, its fingerprint, and what is made of it.
#include <unistd.h>
#include <cstdio>
#include <filesystem>

#include "base/text.hpp"
#include "formats/gguf_writer.hpp"
#include "models.hpp"
#include "tools/quantize.hpp"

namespace fs = std::filesystem;
using namespace elver;
using namespace elver::test;

namespace {

struct Folder {
    fs::path path = fs::temp_directory_path() / cat("elver_parts_", ::getpid());
    Folder() { fs::create_directories(path); }
    ~Folder() { fs::remove_all(path); }
};

// Writes a file's tensors as n parts; returns their paths.
std::vector<std::string> split(const std::string& from, const fs::path& folder, int n) {
    auto source = ByteSource::map_path(from);
    REQUIRE(source);
    const auto file = Gguf::parse(*std::move(source));
    REQUIRE(file);
    const size_t n_tensors = file->tensors().size(), step = n_tensors / static_cast<size_t>(n) + 1;
    std::vector<std::string> out;
    for (int no = 0; no < n; ++no) {
        GgufWriter writer;
        for (const auto& [key, value] : file->metadata()) {
            if (no == 0) writer.copy(key, value);
        }
        writer.set_u32("split.no", static_cast<uint32_t>(no));
        writer.set_u32("split.count", static_cast<uint32_t>(n));
        writer.set_i32("split.tensors.count", static_cast<int32_t>(n_tensors));
        for (size_t i = static_cast<size_t>(no) * step; i < std::min(n_tensors, (static_cast<size_t>(no) + 1) * step);
             ++i) {
            const GgufTensor& t = file->tensors()[i];
            writer.add_tensor(t.name, t.view.type, t.view.shape, t.view.bytes);
        }
        char name[64];
        std::snprintf(name, sizeof name, "m-%05d-of-%05d.gguf", no + 1, n);
        out.push_back(folder / name);
        REQUIRE(writer.write_file(out.back()));
    }
    return out;
}

}  // namespace

TEST_CASE("parts: the bits of the whole, packed and as the reference reads them") {
    for (const char* name : {"llama", "llama-q8_0"}) {
        for (const char* isa : {"", "reference"}) {
            CAPTURE(name);
            CAPTURE(isa);
            const Folder folder;
            const auto whole = load(tiny_path(name), 2, isa);
            const auto ids = random_ids(20, whole->spec().n_vocab);
            const SessionOptions options{.n_ctx = 32, .max_batch = 8, .cache_type = {}};
            const auto expected = all_logits(*open_session(whole, options), ids);
            for (const std::string& part : split(tiny_path(name), folder.path, 4)) {
                const auto model = load(part, 2, isa);
                CHECK(all_logits(*open_session(model, options), ids) == expected);
                CHECK(model->plan(options)->total() == whole->plan(options)->total());
                CHECK(model->fingerprint() == whole->fingerprint());
            }
        }
    }
}

TEST_CASE("parts: one that has shrunk since it was opened is named") {
    const Folder folder;
    const auto paths = split(tiny_path("llama"), folder.path, 3);
    auto source = ByteSource::map_path(paths[0]);
    REQUIRE(source);
    const auto model = Model::open(*std::move(source), {});
    REQUIRE_MESSAGE(model, message_of(model));
    fs::resize_file(paths[1], 64);
    const auto done = (*model)->load({}, nullptr);
    if (done) return;  // a system that cannot tell, whose pages were in memory already
    CHECK(done.error().status() == Status::io);
    CHECK(done.error().message().find(paths[1]) == 0);
}
