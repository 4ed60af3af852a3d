// What elver writes is byte for byte what PyPI gguf writes for the same content, so gguf reads it back.
#include <dirent.h>
#include <unistd.h>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>

#include <doctest/doctest.h>

#include "base/text.hpp"
#include "formats/gguf.hpp"
#include "formats/gguf_writer.hpp"
#include "message_of.hpp"

using namespace elver;

namespace {

std::string golden(const std::string& name) {
    std::ifstream in(ELVER_TEST_DATA "/golden/gguf/" + name + ".gguf", std::ios::binary);
    REQUIRE(in);
    return {std::istreambuf_iterator<char>(in), {}};
}

ByteSource borrow(const std::string& bytes) {
    return ByteSource::borrow(std::as_bytes(std::span(bytes)), "memory.gguf");
}

std::string written(const GgufWriter& writer) {
    const auto bytes = writer.write_memory();
    REQUIRE_MESSAGE(bytes, elver::test::message_of(bytes));
    return {reinterpret_cast<const char*>(bytes->data()), bytes->size()};
}

GgufWriter copy_of(const Gguf& file) {
    GgufWriter writer;
    for (const auto& [key, value] : file.metadata()) writer.copy(key, value);
    for (const GgufTensor& t : file.tensors()) writer.add_tensor(t.name, t.view.type, t.view.shape, t.view.bytes);
    return writer;
}

struct Folder {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("elver_writer_" + std::to_string(::getpid()));
    Folder() { std::filesystem::create_directories(path); }
    ~Folder() { std::filesystem::remove_all(path); }
    size_t n_files() const { return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path), {})); }
};

}  // namespace

TEST_CASE("writer: values and tensors give the bytes that gguf writes") {
    GgufWriter writer;
    writer.set_string("general.architecture", "test");
    writer.set_u32("u32", 7);
    writer.set_i32("i32", -7);
    writer.set_u64("u64", uint64_t{1} << 40);
    writer.set_f32("f32", 0.1f);
    writer.set_bool("yes", true);
    const std::string_view strings[] = {"", "a b", "ü"};
    writer.set_strings("strings", strings);
    const float f32s[] = {0.5f, -2.0f};
    writer.set_f32s("f32s", f32s);
    const int32_t i32s[] = {1, -1, 65536};
    writer.set_i32s("i32s", i32s);
    const float matrix[] = {0, 1, 2, 3, 4, 5};
    uint8_t blocks[34];
    std::iota(blocks, blocks + 34, uint8_t{0});
    writer.add_tensor("matrix", DType::f32, {2, 3}, std::as_bytes(std::span(matrix)));
    writer.add_tensor("blocks", DType::q8_0, {1, 32}, std::as_bytes(std::span(blocks)));
    CHECK(written(writer) == golden("typed"));
}

TEST_CASE("writer: a copy of what gguf wrote has its bytes, at the alignment that the file says") {
    for (const std::string name : {"values", "aligned", "metadata", "typed"}) {
        CAPTURE(name);
        const std::string bytes = golden(name);
        const auto file = Gguf::parse(borrow(bytes));
        REQUIRE_MESSAGE(file, elver::test::message_of(file));
        std::string copy = written(copy_of(*file));
        // gguf pads the metadata only where tensors follow.
        if (file->tensors().empty()) copy.resize(bytes.size());
        CHECK(copy == bytes);
    }
}

TEST_CASE("writer: every alignment is read back, with tensors of odd sizes") {
    for (uint32_t alignment = 8; alignment <= 1 << 20; alignment *= 2) {
        CAPTURE(alignment);
        GgufWriter writer;
        writer.set_u32("general.alignment", alignment);
        std::vector<std::vector<std::byte>> contents;
        for (size_t n : {1, 3, 31, 33, 100}) {
            contents.emplace_back(n, static_cast<std::byte>(n));
            writer.add_tensor(cat("t", n), DType::i8, {static_cast<int64_t>(n)}, contents.back());
        }
        const std::string bytes = written(writer);
        const auto file = Gguf::parse(borrow(bytes));
        REQUIRE_MESSAGE(file, elver::test::message_of(file));
        REQUIRE(file->tensors().size() == contents.size());
        for (size_t i = 0; i < contents.size(); ++i) {
            const GgufTensor& t = file->tensors()[i];
            CHECK(t.offset % alignment == 0);
            CHECK(std::equal(t.view.bytes.begin(), t.view.bytes.end(), contents[i].begin(), contents[i].end()));
        }
    }
}

TEST_CASE("writer: what a reader would refuse is refused, by name") {
    const std::vector<std::byte> bytes(18);
    struct Row {
        void (*add)(GgufWriter&, std::span<const std::byte>);
        const char* message;
        const char* object;
    };
    const Row rows[] = {
        {[](GgufWriter& w, auto) { w.set_u32("a", 1), w.set_bool("a", true); }, "key \"a\": expected once, found twice",
         "a"},
        {[](GgufWriter& w, auto) { w.set_u32("", 1); },
         "key \"\": expected a name of 1 to 65535 bytes of UTF-8, found 0", "key"},
        {[](GgufWriter& w, auto) { w.set_u32("\xff", 1); },
         "key \"\\xff\": expected a name of 1 to 65535 bytes of UTF-8, found 1", "key"},
        {[](GgufWriter& w, auto) { w.set_u32("general.alignment", 24); },
         "key \"general.alignment\": expected a power of two from 8 to 1048576, found 24", "general.alignment"},
        {[](GgufWriter& w, auto b) {
             w.add_tensor("t", DType::q4_0, {32}, b), w.add_tensor("t", DType::q4_0, {32}, b);
         },
         "tensor \"t\": expected once, found twice", "t"},
        {[](GgufWriter& w, auto b) {
             w.add_tensor("t", DType::q4_0, {16, 2}, b);
         },
         "tensor \"t\": expected rows of a multiple of 32 elements of Q4_0, found shape [16, 2]", "t"},
        {[](GgufWriter& w, auto b) { w.add_tensor("t", DType::q4_0, {}, b); },
         "tensor \"t\": expected rows of a multiple of 32 elements of Q4_0, found shape []", "t"},
        {[](GgufWriter& w, auto b) {
             w.add_tensor("t", DType::f32, {0, 4}, b);
         },
         "tensor \"t\": expected rows of a multiple of 1 elements of F32, found shape [0, 4]", "t"},
        {[](GgufWriter& w, auto b) {
             w.add_tensor("t", DType::f32, {INT64_MAX, 4}, b);
         },
         "tensor \"t\": expected rows of a multiple of 1 elements of F32, found shape [9223372036854775807, 4]", "t"},
        {[](GgufWriter& w, auto b) {
             w.add_tensor("t", DType::q4_0, {2, 32}, b);
         },
         "tensor \"t\": expected 36 bytes for Q4_0 [2, 32], found 18", "t"},
    };
    for (const Row& row : rows) {
        GgufWriter writer;
        row.add(writer, bytes);
        const auto out = writer.write_memory();
        REQUIRE(!out);
        CHECK(out.error().status() == Status::invalid_argument);
        CHECK(out.error().message() == row.message);
        CHECK(out.error().object() == row.object);
    }
}

TEST_CASE("writer: a file appears whole or not at all") {
    const Folder folder;
    const std::string path = folder.path / "out.gguf", bytes = golden("values");
    const auto file = Gguf::parse(borrow(bytes));
    REQUIRE(file);
    REQUIRE(copy_of(*file).write_file(path));
    CHECK(folder.n_files() == 1);
    std::ifstream in(path, std::ios::binary);
    CHECK(std::string(std::istreambuf_iterator<char>(in), {}) == bytes);

    SUBCASE("a tensor that cannot be made leaves the file that was there") {
        GgufWriter writer = copy_of(*file);
        writer.add_tensor("late", DType::f32, {4},
                          [](const ByteSink&) -> Result<void> { return Error(Status::cancelled, "stopped"); });
        const auto done = writer.write_file(path);
        REQUIRE(!done);
        CHECK(done.error().status() == Status::cancelled);
        CHECK(folder.n_files() == 1);
        CHECK(std::filesystem::file_size(path) == bytes.size());
    }
    SUBCASE("a folder that is not there") {
        const auto done = copy_of(*file).write_file(folder.path / "no" / "out.gguf");
        REQUIRE(!done);
        CHECK(done.error().status() == Status::io);
        CHECK(done.error().message().find("no/out.gguf: cannot create: No such file") != std::string::npos);
    }
    SUBCASE("a name that is taken by a folder") {
        std::filesystem::create_directories(folder.path / "taken" / "inside");
        const auto done = copy_of(*file).write_file(folder.path / "taken");
        REQUIRE(!done);
        CHECK(done.error().message().find("found a folder") != std::string::npos);
        CHECK(folder.n_files() == 2);
    }
    SUBCASE("a full disk") {
        if (::access("/dev/full", W_OK) != 0) return;
        std::filesystem::create_symlink("/dev/full", path + ".full");
        const auto done = copy_of(*file).write_file(path + ".full");
        REQUIRE(!done);
        CHECK(done.error().status() == Status::io);
        CHECK(done.error().message().find("No space left") != std::string::npos);
        CHECK(folder.n_files() == 2);
    }
}
