// Every byte of a file may be a lie. Each lie is an error that names file, key or tensor, what was expected and what
// was found, and costs no more memory than the file is worth.
#include <sys/stat.h>
#include <unistd.h>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <doctest/doctest.h>

#include "base/utf8.hpp"
#include "formats/gguf.hpp"
#include "gguf_bytes.hpp"

using namespace elver;
using namespace elver::test;

namespace {

constexpr uint64_t huge = ~uint64_t{0};

Result<Gguf> parse(const std::string& bytes) {
    return Gguf::parse(ByteSource::borrow(std::as_bytes(std::span(bytes)), "bad.gguf"));
}

struct Row {
    std::string what;
    std::string file;
    const char* message;  // behind "bad.gguf: "
    const char* object;
};

void check(const Row& row) {
    CAPTURE(row.what);
    const auto parsed = parse(row.file);
    REQUIRE(!parsed);
    CHECK(parsed.error().status() == Status::bad_file);
    CHECK(parsed.error().message() == std::string("bad.gguf: ") + row.message);
    CHECK(parsed.error().object() == row.object);
}

GgufBytes sound() {
    return GgufBytes().string("general.architecture", "test").tensor("w", {32}, tensor_q4_0, 0).data(32);
}

const char* const foreign_what = "expected a GGUF file, found ";

}  // namespace

TEST_CASE("gguf: a foreign file is named for what it is") {
    struct Foreign {
        std::string file;
        const char* found;
    };
    const Foreign rows[] = {
        {"", "only 0 bytes"},
        {"GGU", "only 3 bytes"},
        {std::string("\x7f") + "ELF\2\1\1", "an ELF program"},
        {"PK\x03\x04 and so on", "a zip archive (perhaps a PyTorch checkpoint)"},
        {le<uint64_t>(40) + R"({"weight":{"dtype":"F32"}})", "what looks like a safetensors file"},
        {"GGML....", "an old GGML file"},
        {"ggjt....", "an old GGJT file"},
        {"FUGG....", "a big-endian GGUF file"},
        {"\x28\xb5\x2f\xfd....", "a zstd archive"},
        {"\x1f\x8b....", "a gzip archive"},
        {"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer, not the file itself"},
        {"<!DOCTYPE html>", "a web page"},
        {"GGUG....", "a file that begins with \"GGUG\""},
        {std::string("\0\1\"\xff....", 8), R"(a file that begins with "\x00\x01\x22\xff")"},
    };
    for (const Foreign& row : rows) {
        check({row.found, row.file, (std::string(foreign_what) + row.found).c_str(), "bad.gguf"});
    }
}

TEST_CASE("gguf: a hostile header or metadata is an error naming its field or key") {
    REQUIRE(parse(sound()));
    const std::string long_name(100, 'k'), quoted = std::string(80, 'k');
    const Row rows[] = {
        {"version 1", sound().version(1), "version: expected 2 or 3, found 1", "version"},
        {"version 4", sound().version(4), "version: expected 2 or 3, found 4", "version"},
        {"big-endian", sound().version(3u << 24),
         "version: expected 2 or 3, found 3 in big-endian order, which is not supported", "version"},
        {"2^63 tensors", sound().n_tensors(1ull << 63),
         "tensor_count: found 9223372036854775808, but the file has room for 6 at most", "tensor_count"},
        {"2^64 - 1 keys", sound().n_keys(huge),
         "metadata_kv_count: found 18446744073709551615, but the file has room for 10 at most", "metadata_kv_count"},
        {"more keys than a model has", sound().n_keys(65537).data(1 << 20),
         "metadata_kv_count: expected at most 65536, found 65537", "metadata_kv_count"},
        {"a key too many", GgufBytes().n_keys(1), "metadata_kv_count: found 1, but the file has room for 0 at most",
         "metadata_kv_count"},
        {"key length wraps", GgufBytes().raw_pair(le(huge - 7) + "12345678"),
         "metadata key: the file ends at byte 40, but 18446744073709551608 bytes from 32 on are needed",
         "metadata key"},
        {"empty key", GgufBytes().u32("", 1), "metadata key: expected 1 to 65535 bytes, found 0", "metadata key"},
        {"long key", GgufBytes().u32(std::string(65536, 'a'), 1),
         "metadata key: expected 1 to 65535 bytes, found 65536", "metadata key"},
        {"key not UTF-8", GgufBytes().u32("a\xc3(\xff", 1), R"(metadata key: expected UTF-8, found "a\xc3(\xff")",
         "metadata key"},
        {"key twice", GgufBytes().u32("a", 1).u32("b", 2).u32("a", 1), "key \"a\": expected once, found twice", "a"},
        {"unknown value type", GgufBytes().pair("a", 13, "0000"), "key \"a\": expected a value type 0 to 12, found 13",
         "a"},
        {"string leaves the file", GgufBytes().pair("a", type_string, le<uint64_t>(5) + "1234"),
         "key \"a\": the file ends at byte 49, but 5 bytes from 45 on are needed", "a"},
        {"string length wraps", GgufBytes().pair("a", type_string, le(huge) + "1234"),
         "key \"a\": the file ends at byte 49, but 18446744073709551615 bytes from 45 on are needed", "a"},
        {"scalar cut off", GgufBytes().pair("a", type_u32, "123"),
         "key \"a\": the file ends at byte 40, but 4 bytes from 37 on are needed", "a"},
        {"unknown element type", GgufBytes().pair("a", type_array, le<uint32_t>(99) + le<uint64_t>(0)),
         "key \"a\": expected a value type 0 to 12, found 99", "a"},
        {"array of arrays", GgufBytes().pair("a", type_array, le<uint32_t>(type_array) + le<uint64_t>(0)),
         "key \"a\": expected an array of plain values, found an array of arrays", "a"},
        {"array size wraps", GgufBytes().pair("a", type_array, le<uint32_t>(type_u32) + le(huge / 4 + 2) + "12345678"),
         "key \"a\": found 4611686018427387905, but the file has room for 2 at most", "a"},
        {"strings that cannot fit",
         GgufBytes().pair("a", type_array, le<uint32_t>(type_string) + le(huge) + "12345678"),
         "key \"a\": found 18446744073709551615, but the file has room for 1 at most", "a"},
        {"string of an array leaves the file",
         GgufBytes().pair("a", type_array, le<uint32_t>(type_string) + le<uint64_t>(1) + le<uint64_t>(9) + "12345678"),
         "key \"a\": the file ends at byte 65, but 9 bytes from 57 on are needed", "a"},
        {"a long name is cut and its bytes escaped", GgufBytes().pair("\n\"" + long_name, type_u32, "1"),
         R"(key "\x0a\x22kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"...: )"
         "the file ends at byte 139, but 4 bytes from 138 on are needed",
         "\n\"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"},
        {"alignment of text", GgufBytes().string("general.alignment", "32"),
         "key \"general.alignment\": expected an integer, found string", "general.alignment"},
        {"alignment 0", GgufBytes().u32("general.alignment", 0),
         "key \"general.alignment\": expected a power of two from 8 to 1048576, found 0", "general.alignment"},
        {"alignment 48", GgufBytes().u32("general.alignment", 48),
         "key \"general.alignment\": expected a power of two from 8 to 1048576, found 48", "general.alignment"},
        {"alignment 2^31", GgufBytes().u32("general.alignment", 1u << 31),
         "key \"general.alignment\": expected a power of two from 8 to 1048576, found 2147483648", "general.alignment"},
    };
    for (const Row& row : rows) check(row);
}

TEST_CASE("gguf: a hostile tensor is an error naming it") {
    const auto with = [](const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) -> std::string {
        return GgufBytes().tensor("w", dims, type, offset).data(64);
    };
    const std::string head = text_field("w");
    const Row rows[] = {
        {"name length leaves the file", GgufBytes().raw_tensor(le<uint64_t>(1000) + std::string(24, 'w')),
         "tensor name: the file ends at byte 56, but 1000 bytes from 32 on are needed", "tensor name"},
        {"empty name", GgufBytes().tensor("", {32}, tensor_q4_0, 0).data(32),
         "tensor name: expected 1 to 65535 bytes, found 0", "tensor name"},
        {"name not UTF-8", GgufBytes().tensor("\xed\xa0\x80", {32}, tensor_q4_0, 0).data(32),
         R"(tensor name: expected UTF-8, found "\xed\xa0\x80")", "tensor name"},
        {"no dimension", with({}, tensor_f32, 0), "tensor \"w\": expected 1 to 4 dimensions, found 0", "w"},
        {"five dimensions", with({1, 1, 1, 1, 1}, tensor_f32, 0), "tensor \"w\": expected 1 to 4 dimensions, found 5",
         "w"},
        {"2^32 - 1 dimensions", GgufBytes().raw_tensor(head + le(~0u) + std::string(64, 'w')),
         "tensor \"w\": expected 1 to 4 dimensions, found 4294967295", "w"},
        {"dimension 0", with({4, 0}, tensor_f32, 0),
         "tensor \"w\": expected 1 to 2^62 elements, found dimension 1 of 0", "w"},
        {"product wraps to 0", with({1ull << 32, 1ull << 32}, tensor_f32, 0),
         "tensor \"w\": expected 1 to 2^62 elements, found dimension 1 of 4294967296", "w"},
        {"product wraps to 32", with({(1ull << 63) + 16, 2}, tensor_q4_0, 0),
         "tensor \"w\": expected 1 to 2^62 elements, found dimension 0 of 9223372036854775824", "w"},
        {"negative dimension", with({huge}, tensor_f32, 0),
         "tensor \"w\": expected 1 to 2^62 elements, found dimension 0 of 18446744073709551615", "w"},
        {"bytes wrap", with({1ull << 62}, tensor_f32, 0),
         "tensor \"w\": 4611686018427387904 elements of F32 are more than the file of 128 bytes holds", "w"},
        {"larger than the file", with({64}, tensor_f32, 0),
         "tensor \"w\": 64 elements of F32 are more than the file of 128 bytes holds", "w"},
        {"unknown type", with({32}, 4, 0), "tensor \"w\": unknown type 4", "w"},
        {"unknown type 2^32 - 1", with({32}, ~0u, 0), "tensor \"w\": unknown type 4294967295", "w"},
        {"half a block", with({48}, tensor_q4_0, 0),
         "tensor \"w\": expected rows of a multiple of 32 elements, as Q4_0 has, found 48", "w"},
        {"a row that is no block", with({16, 2}, tensor_q4_0, 0),
         "tensor \"w\": expected rows of a multiple of 32 elements, as Q4_0 has, found 16", "w"},
        {"offset not aligned", with({4}, tensor_f32, 16),
         "tensor \"w\": expected an offset that is a multiple of 32, found 16", "w"},
        {"offset not aligned to the file's own alignment",
         GgufBytes().u32("general.alignment", 64).tensor("w", {4}, tensor_f32, 32).alignment(64).data(128),
         "tensor \"w\": expected an offset that is a multiple of 64, found 32", "w"},
        {"bytes leave the file", with({8}, tensor_f32, 64),
         "tensor \"w\": its 32 bytes at offset 64 leave the file of 128 bytes (is the file cut short?)", "w"},
        {"offset wraps", with({8}, tensor_f32, huge - 31),
         "tensor \"w\": its 32 bytes at offset 18446744073709551584 leave the file of 128 bytes (is the file cut "
         "short?)",
         "w"},
        {"tensor twice", GgufBytes().tensor("w", {4}, tensor_f32, 0).tensor("w", {4}, tensor_f32, 32).data(64),
         "tensor \"w\": expected once, found twice", "w"},
        {"tensors overlap", GgufBytes().tensor("w", {4}, tensor_f32, 32).tensor("v", {9}, tensor_f32, 0).data(64),
         "tensor \"w\": its bytes overlap those of \"v\"", "w"},
        {"no data at all", GgufBytes().tensor("w", {4}, tensor_f32, 0),
         "tensor \"w\": its 16 bytes at offset 0 leave the file of 57 bytes (is the file cut short?)", "w"},
    };
    for (const Row& row : rows) check(row);
}

TEST_CASE("gguf: a file cut short anywhere is an error, and so is one with any byte changed to an extreme") {
    std::ifstream in(ELVER_TEST_DATA "/golden/gguf/values.gguf", std::ios::binary);
    const std::string whole{std::istreambuf_iterator<char>(in), {}};
    REQUIRE(parse(whole));
    const size_t last_tensor_bytes = 2 * 66, padding = (32 - last_tensor_bytes % 32) % 32;
    for (size_t n = 0; n < whole.size(); ++n) {
        CAPTURE(n);
        const auto parsed = parse(whole.substr(0, n));
        if (n >= whole.size() - padding) {
            CHECK(parsed);  // only the padding behind the last tensor is missing
            continue;
        }
        REQUIRE(!parsed);
        CHECK(parsed.error().status() == Status::bad_file);
        CHECK(parsed.error().message().starts_with("bad.gguf: "));
        CHECK(parsed.error().message().size() < 600);
    }
    // Changed bytes may still be a sound file; what is asked is that whatever is said of it can be shown to a person.
    for (size_t n = 0; n < whole.size(); ++n) {
        for (const char value : {'\0', '\x7f', '\x80', '\xff'}) {
            std::string changed = whole;
            changed[n] = value;
            const auto parsed = parse(changed);
            if (parsed) continue;
            CAPTURE(n);
            CHECK(parsed.error().status() == Status::bad_file);
            CHECK(is_valid_utf8(parsed.error().message()));
            CHECK(is_valid_utf8(parsed.error().object()));
            CHECK(parsed.error().message().size() < 600);
        }
    }
}

TEST_CASE("gguf: a path that is no regular file is an error naming it") {
    const auto folder = std::filesystem::temp_directory_path() / ("elver_gguf_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder);
    const std::string missing = folder / "missing.gguf", empty = folder / "empty.gguf", pipe = folder / "pipe";
    std::ofstream{empty};
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    struct Path {
        std::string path;
        Status status;
        const char* message;
    };
    const Path rows[] = {
        {missing, Status::not_found, ": cannot open: No such file or directory"},
        {empty, Status::bad_file, ": the file is empty"},
        {folder, Status::invalid_argument, ": not a regular file"},
        {pipe, Status::invalid_argument, ": not a regular file"},
        {"", Status::not_found, ": cannot open: No such file or directory"},
    };
    for (const Path& row : rows) {
        CAPTURE(row.path);
        const auto source = ByteSource::map_path(row.path);
        REQUIRE(!source);
        CHECK(source.error().status() == row.status);
        CHECK(source.error().message() == row.path + row.message);
        CHECK(source.error().object() == row.path);
    }
    std::filesystem::remove_all(folder);
}
