// Models in several files: any part opens the whole, and whatever is wrong with one of them is named.
#include <unistd.h>
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "base/text.hpp"
#include "formats/gguf.hpp"
#include "gguf_bytes.hpp"
#include "message_of.hpp"

namespace fs = std::filesystem;
using namespace elver;
using namespace elver::test;

namespace {

enum : uint32_t { type_u16 = 2, type_i32 = 5 };

struct Folder {
    fs::path path = fs::temp_directory_path() / cat("elver_parts_", ::getpid());
    Folder() { fs::create_directories(path); }
    ~Folder() { fs::remove_all(path); }
    std::string operator/(const std::string& name) const { return path / name; }
};

// Part no of count as gguf-split writes it, with the tensors a0, a1, … from first on, each of 8 numbers.
GgufBytes part(int no, int count, int n_tensors, int first, int end) {
    GgufBytes out;
    if (no == 0) out.string("general.architecture", "test").u32("test.answer", 42);
    out.pair("split.no", type_u16, le(static_cast<uint16_t>(no)));
    out.pair("split.count", type_u16, le(static_cast<uint16_t>(count)));
    out.pair("split.tensors.count", type_i32, le(static_cast<int32_t>(n_tensors)));
    for (int i = first; i < end; ++i) out.tensor(cat("a", i), {8}, tensor_f32, static_cast<uint64_t>(i - first) * 32);
    if (end > first) out.data(static_cast<size_t>(end - first) * 32);
    return out;
}

std::string name(int no, int count) {
    char text[64];
    std::snprintf(text, sizeof text, "m-%05d-of-%05d.gguf", no + 1, count);
    return text;
}

void put(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

// Three parts with 2, 0 and 3 tensors.
void put_three(const Folder& folder) {
    put(folder / name(0, 3), part(0, 3, 5, 0, 2));
    put(folder / name(1, 3), part(1, 3, 5, 2, 2));
    put(folder / name(2, 3), part(2, 3, 5, 2, 5));
}

Result<Gguf> open(const std::string& path) {
    auto source = ByteSource::map_path(path);
    REQUIRE_MESSAGE(source, message_of(source));
    return Gguf::open(*std::move(source));
}

void refused(const std::string& path, const std::string& says, Status status = Status::bad_file) {
    const auto file = open(path);
    REQUIRE(!file);
    CAPTURE(file.error().message());
    CHECK(file.error().status() == status);
    CHECK(file.error().message().find(says) != std::string::npos);
}

}  // namespace

TEST_CASE("parts: any part opens the whole") {
    const Folder folder;
    put_three(folder);
    for (int no = 0; no < 3; ++no) {
        CAPTURE(no);
        const auto file = open(folder / name(no, 3));
        REQUIRE_MESSAGE(file, message_of(file));
        CHECK(file->name() == folder / name(0, 3));
        REQUIRE(file->tensors().size() == 5);
        for (int i = 0; i < 5; ++i) {
            const GgufTensor* tensor = file->find_tensor(cat("a", i));
            REQUIRE(tensor != nullptr);
            CHECK(tensor == &file->tensors()[static_cast<size_t>(i)]);
            CHECK(tensor->part == (i < 2 ? 0 : 2));
            CHECK(tensor->view.bytes.data() == file->source(*tensor).bytes().data() + tensor->offset);
            CHECK(tensor->view.bytes[0] == std::byte{1});
        }
        CHECK(*file->get_int("test.answer") == 42);
        for (const char* key : {"split.no", "split.count", "split.tensors.count"}) CHECK(file->find(key) == nullptr);
        CHECK(file->metadata().size() == 2);
    }
}

TEST_CASE("parts: a link's own name leads to the others, not its target's") {
    const Folder folder;
    put_three(folder);
    fs::create_directory(folder / "snapshot");
    for (int no = 0; no < 3; ++no) {
        fs::rename(folder / name(no, 3), folder / cat("blob", no));
        fs::create_symlink(cat("../blob", no), folder / ("snapshot/" + name(no, 3)));
    }
    for (int no = 0; no < 3; ++no) CHECK(open(folder / ("snapshot/" + name(no, 3))));
    refused(folder / "blob1", "blob1: part 2 of 3 of a model: expected a name that ends in \"-00002-of-00003.gguf\"");
    const fs::path before = fs::current_path();
    fs::current_path(folder / "snapshot");
    CHECK(open(name(1, 3)));  // a path without a slash
    fs::current_path(before);
}

TEST_CASE("parts: one that is missing, renamed, repeated or of another model is named") {
    const Folder folder;
    put_three(folder);
    fs::rename(folder / name(1, 3), folder / "renamed.gguf");
    for (const int no : {0, 2})
        refused(folder / name(no, 3),
                cat("part 2 of 3 of a model: ", folder / name(1, 3), ": cannot open: No such file"), Status::not_found);
    refused(folder / "renamed.gguf", "expected a name that ends in \"-00002-of-00003.gguf\", by which");

    put(folder / name(1, 3), part(2, 3, 5, 2, 2));
    refused(folder / name(0, 3), "00002-of-00003.gguf: key \"split.no\": expected 1 by its name, found 2");
    refused(folder / name(1, 3), "00002-of-00003.gguf: part 3 of 3 of a model: expected a name that ends in");
    put(folder / name(1, 3), part(1, 4, 5, 2, 2));
    refused(folder / name(0, 3), cat("\"split.count\": expected 3 as in ", folder / name(0, 3), ", found 4"));
    put(folder / name(1, 3), part(1, 3, 6, 2, 2));
    refused(folder / name(0, 3), cat("\"split.tensors.count\": expected 5 as in ", folder / name(0, 3), ", found 6"));
    put(folder / name(1, 3), part(1, 3, 5, 1, 2));
    refused(folder / name(2, 3), "tensor \"a1\": expected once, found in ");
    put(folder / name(1, 3), part(1, 3, 5, 7, 8));
    refused(folder / name(0, 3), "\"split.tensors.count\": expected the 6 that all parts hold, found 5");
    put(folder / name(1, 3), GgufBytes().string("general.architecture", "test"));
    refused(folder / name(0, 3), "\"split.count\": expected 3 as in ");
    put(folder / name(1, 3), "GGML....");
    refused(folder / name(0, 3), "00002-of-00003.gguf: expected a GGUF file, found an old GGML file");
}

TEST_CASE("parts: numbers that make no sense are named, without a path there are no others") {
    const Folder folder;
    put(folder / name(0, 3), part(3, 3, 5, 0, 2));
    refused(folder / name(0, 3), "key \"split.no\": expected 0 to 2, found 3");
    put(folder / name(0, 3), GgufBytes().pair("split.count", type_i32, le<int32_t>(-1)));
    refused(folder / name(0, 3), "key \"split.count\": expected 0 to 99999, found -1");
    put(folder / name(0, 3), GgufBytes().string("split.count", "3"));
    refused(folder / name(0, 3), "key \"split.count\": expected an integer, found string");

    const std::string bytes = part(0, 3, 5, 0, 2);
    const auto file = Gguf::open(ByteSource::borrow(std::as_bytes(std::span(bytes))));
    REQUIRE(!file);
    CHECK(file.error().message() ==
          "memory: part 1 of 3 of a model: open it by its path, so that the others are found beside it");
}

TEST_CASE("parts: a file that is the only one is a model, whatever it is called") {
    const Folder folder;
    for (const int count : {0, 1}) {
        put(folder / "one.gguf", part(0, count, 2, 0, 2));
        const auto file = open(folder / "one.gguf");
        REQUIRE_MESSAGE(file, message_of(file));
        CHECK(file->tensors().size() == 2);
        CHECK(file->find("split.count") == nullptr);
        CHECK(*file->get_int("test.answer") == 42);
    }
}
