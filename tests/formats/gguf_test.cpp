// What elver finds in files that PyPI gguf wrote is what gguf's own reader finds: tests/golden/gguf/make.py.
#include <fcntl.h>
#include <unistd.h>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include <doctest/doctest.h>

#include "base/text.hpp"
#include "formats/gguf.hpp"
#include "gguf_bytes.hpp"
#include "message_of.hpp"

using namespace elver;
using namespace elver::test;

namespace {

std::string golden_path(const std::string& file) {
    return ELVER_TEST_DATA "/golden/gguf/" + file;
}

std::string read_bytes(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    REQUIRE_MESSAGE(in, path);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::string hex(std::span<const std::byte> bytes) {
    static const char digits[] = "0123456789abcdef";
    std::string out;
    for (const std::byte b : bytes) out += digits[int(b) >> 4], out += digits[int(b) & 15];
    return out;
}

// gguf's name of a value type.
std::string type_name(GgufType type) {
    static const char* const names[] = {"UINT8", "INT8",   "UINT16", "INT16",  "UINT32", "INT32",  "FLOAT32",
                                        "BOOL",  "STRING", "ARRAY",  "UINT64", "INT64",  "FLOAT64"};
    return names[static_cast<uint32_t>(type)];
}

void check_value(const GgufValue& value, const nlohmann::json& expected) {
    if (expected.is_string()) {
        REQUIRE(value.as_string());
        CHECK(*value.as_string() == expected.get<std::string>());
        CHECK(!value.as_int());
        CHECK(!value.as_float());
    } else if (expected.is_boolean()) {
        REQUIRE(value.as_bool());
        CHECK(*value.as_bool() == expected.get<bool>());
        CHECK(!value.as_int());
    } else if (expected.is_number_integer()) {
        REQUIRE(value.as_int());
        CHECK(*value.as_int() == expected.get<int64_t>());
        REQUIRE(value.as_float());
        CHECK(*value.as_float() == double(expected.get<int64_t>()));
        CHECK(!value.as_bool());
    } else if (expected.is_number()) {
        REQUIRE(value.as_float());
        CHECK(*value.as_float() == expected.get<double>());
        CHECK(!value.as_int());
    } else {
        REQUIRE(expected.is_array());
        CHECK(value.size() == expected.size());
        for (size_t i = 0; i < expected.size(); ++i) {
            if (expected[i].is_string()) CHECK(value.string_element(i) == expected[i].get<std::string>());
            if (expected[i].is_number_integer()) CHECK(value.int_element(i) == expected[i].get<int64_t>());
            if (expected[i].is_number()) CHECK(value.float_element(i) == expected[i].get<double>());
        }
        CHECK(value.string_element(expected.size()).empty());
        CHECK(!value.int_element(expected.size()));
        CHECK(!value.float_element(expected.size()));
    }
}

void check_file(ByteSource source, const std::string& name) {
    CAPTURE(name);
    const auto golden = nlohmann::json::parse(read_bytes(golden_path(name + ".json")));
    const std::string source_name = source.name();
    auto parsed = Gguf::parse(std::move(source));
    REQUIRE_MESSAGE(parsed, message_of(parsed));
    const Gguf file = *std::move(parsed);  // views stay valid when it moves
    CHECK(file.name() == source_name);
    CHECK(file.version() == golden["version"].get<uint32_t>());
    CHECK(file.metadata().size() == golden["fields"].size());
    for (const auto& [key, expected] : golden["fields"].items()) {
        CAPTURE(key);
        const GgufValue* value = file.find(key);
        REQUIRE(value != nullptr);
        CHECK(type_name(value->type()) == expected["type"].get<std::string>());
        if (value->type() == GgufType::array) {
            CHECK(type_name(value->element_type()) == expected["elements"].get<std::string>());
        }
        CHECK(hex(value->raw()) == expected["raw"].get<std::string>());
        check_value(*value, expected["value"]);
    }
    REQUIRE(file.tensors().size() == golden["tensors"].size());
    for (size_t i = 0; i < file.tensors().size(); ++i) {
        const GgufTensor& tensor = file.tensors()[i];
        const auto& expected = golden["tensors"][i];
        CAPTURE(tensor.name);
        CHECK(tensor.name == expected["name"].get<std::string>());
        CHECK(file.find_tensor(tensor.name) == &tensor);
        CHECK(dtype_name(tensor.view.type) == expected["type"].get<std::string>());
        CHECK(tensor.view.shape == Shape(std::span<const int64_t>(expected["shape"].get<std::vector<int64_t>>())));
        CHECK(tensor.offset == expected["offset"].get<size_t>());
        CHECK(hex(tensor.view.bytes) == expected["bytes"].get<std::string>());
    }
}

}  // namespace

TEST_CASE("gguf: files of gguf are read as gguf reads them: mapped, through a descriptor at an offset, and in memory") {
    for (const std::string name : {"values", "aligned", "typed", "v2", "metadata"}) {
        auto mapped = ByteSource::map_path(golden_path(name + ".gguf"));
        REQUIRE_MESSAGE(mapped, message_of(mapped));
        check_file(*std::move(mapped), name);

        const std::string bytes = read_bytes(golden_path(name + ".gguf"));
        check_file(ByteSource::borrow(std::as_bytes(std::span(bytes))), name);

        for (const uint64_t offset : {1, 4096, 5000}) {  // inside a larger file, as Android's assets are
            CAPTURE(offset);
            std::FILE* file = std::tmpfile();
            REQUIRE(file != nullptr);
            const std::string all = std::string(offset, 'x') + bytes + "behind it";
            REQUIRE(std::fwrite(all.data(), 1, all.size(), file) == all.size());
            REQUIRE(std::fflush(file) == 0);
            auto part = ByteSource::map_fd(fileno(file), offset, bytes.size());
            std::fclose(file);  // the mapping outlives the descriptor
            REQUIRE_MESSAGE(part, message_of(part));
            check_file(*std::move(part), name);
        }
    }
}

TEST_CASE("gguf: typed reads widen, fall back only for what is missing, and name file, key and types otherwise") {
    auto mapped = ByteSource::map_path(golden_path("typed.gguf"));
    REQUIRE(mapped);
    const auto file = Gguf::parse(*std::move(mapped));
    REQUIRE(file);
    CHECK(*file->get_int("u32") == 7);
    CHECK(*file->get_int("i32") == -7);
    CHECK(*file->get_int_or("u64", 1) == int64_t{1} << 40);
    CHECK(*file->get_int_or("absent", 5) == 5);
    CHECK(*file->get_float_or("f32", 0) == double(0.1f));
    CHECK(*file->get_float_or("i32", 0) == -7.0);
    CHECK(*file->get_bool_or("yes", false));
    CHECK(*file->get_bool_or("absent", true));
    CHECK(*file->get_string("general.architecture") == "test");
    CHECK(*file->get_string_or("absent", "x") == "x");

    const auto check = [&](const Error& error, Status status, const std::string& message, const std::string& object) {
        CHECK(error.status() == status);
        CHECK(error.message() == golden_path("typed.gguf") + ": " + message);
        CHECK(error.object() == object);
    };
    check(file->get_int("absent").error(), Status::bad_file, "key \"absent\" is missing", "absent");
    check(file->get_string("absent").error(), Status::bad_file, "key \"absent\" is missing", "absent");
    check(file->get_int("f32").error(), Status::bad_file, "key \"f32\": expected an integer, found f32", "f32");
    check(file->get_int_or("yes", 3).error(), Status::bad_file, "key \"yes\": expected an integer, found bool", "yes");
    check(file->get_float_or("strings", 0).error(), Status::bad_file, "key \"strings\": expected a number, found array",
          "strings");
    check(file->get_bool_or("u32", true).error(), Status::bad_file, "key \"u32\": expected true or false, found u32",
          "u32");
    check(file->get_string("u32").error(), Status::bad_file, "key \"u32\": expected a string, found u32", "u32");
    check(file->tensor("absent").error(), Status::bad_file, "tensor \"absent\" is missing", "absent");
    CHECK((*file->tensor("matrix"))->view.shape == Shape{2, 3});
    CHECK((*file->tensor("blocks"))->view.row(0)[33] == std::byte{33});
}

TEST_CASE("gguf: an unsigned number beyond int64 is no integer, and empty values are values") {
    const std::string bytes = GgufBytes()
                                  .pair("big", 10, le(~uint64_t{0}))
                                  .string("empty", "")
                                  .pair("none", type_array, le(type_string) + le(uint64_t{0}))
                                  .pair("zero", type_array, le(type_f32) + le(uint64_t{0}));
    const auto file = Gguf::parse(ByteSource::borrow(std::as_bytes(std::span(bytes))));
    REQUIRE_MESSAGE(file, message_of(file));
    CHECK(!file->get_int("big"));
    CHECK(*file->get_float_or("big", 0) == 0x1p64);
    CHECK(file->get_string("empty")->empty());
    CHECK(file->find("none")->size() == 0);
    CHECK(file->find("none")->string_element(0).empty());
    CHECK(!file->find("zero")->float_element(0));
}

TEST_CASE("gguf: keys and tensors are found by name among many") {
    GgufBytes many;
    for (uint32_t i = 0; i < 3000; ++i) many.u32(cat("key.", i * 7919 % 3000), i);
    for (uint32_t i = 0; i < 2000; ++i) many.tensor(cat("t", i * 7919 % 2000), {4}, tensor_f32, i * 32);
    const std::string bytes = many.data(2000 * 32);
    const auto file = Gguf::parse(ByteSource::borrow(std::as_bytes(std::span(bytes))));
    REQUIRE_MESSAGE(file, message_of(file));
    for (uint32_t i = 0; i < 3000; ++i) CHECK(*file->get_int(cat("key.", i * 7919 % 3000)) == i);
    for (uint32_t i = 0; i < 2000; ++i) {
        CHECK(file->find_tensor(cat("t", i * 7919 % 2000)) == &file->tensors()[i]);
    }
    CHECK(file->find("key.3000") == nullptr);
    CHECK(file->find("") == nullptr);
    CHECK(file->find_tensor("z") == nullptr);
}
