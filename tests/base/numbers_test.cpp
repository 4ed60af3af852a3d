// Results, checked arithmetic, and half floats as NumPy and gguf have them: tests/golden/base/make.py.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include <doctest/doctest.h>

#include "base/cancel.hpp"
#include "base/checked.hpp"
#include "base/half.hpp"
#include "base/result.hpp"

using namespace elver;

TEST_CASE("result: a value or an error, moved and never copied behind one's back") {
    Result<std::unique_ptr<int>> value(std::make_unique<int>(7));
    REQUIRE(value);
    CHECK(**value == 7);
    const std::unique_ptr<int> taken = *std::move(value);
    CHECK(*taken == 7);
    Result<std::unique_ptr<int>> error(Error(Status::bad_file, "broken", "w"));
    REQUIRE(!error);
    CHECK(error.error().status() == Status::bad_file);
    CHECK(error.error().object() == "w");
    const Result<void> outer(std::move(error).error().within("a.gguf"));
    REQUIRE(!outer);
    CHECK(outer.error().message() == "a.gguf: broken");
    CHECK(outer.error().object() == "w");
    CHECK(Result<void>());
}

TEST_CASE("status: every one has its own name") {
    std::vector<std::string> names;
    for (int i = 0; i <= 12; ++i) names.emplace_back(status_name(static_cast<Status>(i)));
    std::sort(names.begin(), names.end());
    CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
    CHECK(std::string(status_name(static_cast<Status>(99))) == "unknown status");
}

TEST_CASE("checked arithmetic: what leaves the type is no number") {
    const uint64_t most = UINT64_MAX;
    CHECK(checked_add<uint64_t>(most - 1, 1) == most);
    CHECK(!checked_add<uint64_t>(most, 1));
    CHECK(checked_mul<uint64_t>(1ull << 32, (1ull << 32) - 1) == (1ull << 32) * ((1ull << 32) - 1));
    CHECK(!checked_mul<uint64_t>(1ull << 32, 1ull << 32));
    CHECK(checked_mul<uint64_t>(0, most) == 0u);
    CHECK(!checked_add<int32_t>(INT32_MIN, -1));
    CHECK(!checked_mul<int32_t>(INT32_MIN, -1));
    CHECK(checked_mul<int32_t>(-46340, 46340) == -46340 * 46340);
    CHECK(round_up(0, 32) == 0);
    CHECK(round_up(1, 32) == 32);
    CHECK(round_up(32, 32) == 32);
    CHECK(ceil_div(0, 7) == 0);
    CHECK(ceil_div(14, 7) == 2);
    CHECK(ceil_div(15, 7) == 3);
}

TEST_CASE("cancel token: a cancel is meant for the request that is current, and for no other") {
    CancelToken token;
    CHECK(!token.cancelled());
    token.cancel(), token.cancel();
    CHECK(token.cancelled());
    const auto answer = token.begin();
    CHECK(!token.cancelled());
    const auto call = token.begin();
    token.cancel();
    CHECK(token.cancelled());
    token.resume(answer);
    CHECK(!token.cancelled());
    token.resume(0);
    token.cancel();
    CHECK(!token.cancelled());
    CHECK(token.begin() > call);
    CHECK(!token.cancelled());
    token.resume(answer);
    token.cancel();
    token.begin();
    CHECK(!token.cancelled());
    token.resume(answer);
    CHECK(token.cancelled());
}

namespace {

bool nan_f16(uint16_t h) {
    return (h & 0x7fff) > 0x7c00;
}
bool nan_bf16(uint16_t h) {
    return (h & 0x7fff) > 0x7f80;
}

}  // namespace

TEST_CASE("half: f32 to f16 and bf16 as NumPy and gguf round") {
    std::ifstream in(ELVER_TEST_DATA "/golden/base/half.bin", std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    REQUIRE(bytes.size() > 10000 * 8);
    for (size_t at = 0; at < bytes.size(); at += 8) {
        uint32_t bits;
        uint16_t half, brain;
        std::memcpy(&bits, &bytes[at], 4), std::memcpy(&half, &bytes[at + 4], 2),
            std::memcpy(&brain, &bytes[at + 6], 2);
        const float f = std::bit_cast<float>(bits);
        CAPTURE(bits);
        if (std::isnan(f)) {
            CHECK((nan_f16(f32_to_f16(f)) && nan_bf16(f32_to_bf16(f))));
            CHECK((f32_to_f16(f) >> 15) == (bits >> 31));
            CHECK((f32_to_bf16(f) >> 15) == (bits >> 31));
        } else {
            CHECK(f32_to_f16(f) == half);
            CHECK(f32_to_bf16(f) == brain);
        }
    }
}

TEST_CASE("half: every f16 as f32 is NumPy's, and there and back it is itself") {
    std::ifstream in(ELVER_TEST_DATA "/golden/base/base.json");
    const auto golden = nlohmann::json::parse(in);
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint32_t h = 0; h < 65536; ++h) {
        const float f = f16_to_f32(static_cast<uint16_t>(h));
        const uint32_t bits = std::bit_cast<uint32_t>(f) | (std::isnan(f) ? 0x00400000u : 0u);
        for (int shift = 0; shift < 32; shift += 8) hash = (hash ^ ((bits >> shift) & 255)) * 0x100000001b3u;
        const float brain = bf16_to_f32(static_cast<uint16_t>(h));
        if (std::bit_cast<uint32_t>(brain) != h << 16) FAIL_CHECK("bf16 ", h);
        if (!std::isnan(f) && f32_to_f16(f) != h) FAIL_CHECK("f16 there and back ", h);
        if (!std::isnan(brain) && f32_to_bf16(brain) != h) FAIL_CHECK("bf16 there and back ", h);
    }
    CHECK(std::to_string(hash) == golden["every_f16"].get<std::string>());
}
