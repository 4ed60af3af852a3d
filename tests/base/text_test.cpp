// UTF-8 as Python's decoder reads it (tests/golden/base/make.py), and texts of messages.
#include <fstream>
#include <nlohmann/json.hpp>

#include <doctest/doctest.h>

#include "base/text.hpp"
#include "base/utf8.hpp"

using namespace elver;

namespace {

std::string from_hex(const std::string& hex) {
    std::string out;
    for (size_t i = 0; i < hex.size(); i += 2) out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    return out;
}

}  // namespace

TEST_CASE("utf8: each maximal invalid sequence is one replacement, as in Python") {
    std::ifstream in(ELVER_TEST_DATA "/golden/base/base.json");
    const auto golden = nlohmann::json::parse(in);
    REQUIRE(golden["strings"].size() == 400);
    for (const auto& row : golden["strings"]) {
        const std::string bytes = from_hex(row["bytes"].get<std::string>()), text = row["text"].get<std::string>();
        CAPTURE(row);
        CHECK(replace_invalid_utf8(bytes) == text);
        CHECK(is_valid_utf8(bytes) == (text == bytes));
        CHECK(is_valid_utf8(in_quotes(bytes)));
    }
}

TEST_CASE("utf8: every character is written and read back; what is none is U+FFFD") {
    for (char32_t c = 0; c <= 0x110000; c += c < 0x11000 ? 1 : 37) {
        std::string out;
        append_utf8(out, c);
        const DecodedChar back = decode_utf8(out + "x");
        const bool none = c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff);
        if (!back.valid || back.code_point != (none ? 0xfffd : c) || back.n_bytes != static_cast<int>(out.size())) {
            FAIL_CHECK("character ", uint32_t(c));
        }
        for (size_t cut = 0; cut < out.size(); ++cut) {
            if (incomplete_utf8_suffix("ab" + out.substr(0, cut)) != cut) FAIL_CHECK("part of ", uint32_t(c));
        }
        if (incomplete_utf8_suffix(out) != 0) FAIL_CHECK("whole ", uint32_t(c));
    }
}

TEST_CASE("utf8: only what more bytes could complete is incomplete") {
    for (const char* text : {"", "a", "\x80", "a\x80\x80\x80", "\xc0", "\xf5", "\xe0\x80", "\xed\xa0", "\xf4\x90"}) {
        CHECK(incomplete_utf8_suffix(text) == 0);
    }
    CHECK(incomplete_utf8_suffix("\xe0\xa0") == 2);
    CHECK(incomplete_utf8_suffix("\xf4\x8f\xbf") == 3);
    CHECK(incomplete_utf8_suffix("\xff\xc3") == 1);
}

TEST_CASE("text: numbers and strings are joined; hostile bytes are shown, and cut") {
    CHECK(cat("a", 'b', std::string("c"), std::string_view("d"), 1, -2L, 18446744073709551615u, true) ==
          "abcd1-218446744073709551615true");
    CHECK(cat() == "");
    CHECK(in_quotes("") == "\"\"");
    CHECK(in_quotes("a\"b\n\x7f\xff é") == "\"a\\x22b\\x0a\\x7f\\xff é\"");
    CHECK(in_quotes("abcdef", 3) == "\"abc\"...");
    CHECK(in_quotes("abc", 3) == "\"abc\"");
    CHECK(in_quotes("ab日本", 3) == "\"ab日\"...");  // no character is cut
    CHECK(in_quotes(std::string(1000, 'x')).size() == 85);
    const int64_t dims[] = {2, 3, 4};
    CHECK(join_shape(dims) == "[2, 3, 4]");
    CHECK(join_shape({}) == "[]");
}
