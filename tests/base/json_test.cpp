// JSON from outside: order, keys that come twice, errors, depth. JSON that is written, against the library that tests
// use.
#include "base/json.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "base/text.hpp"
#include "message_of.hpp"

using namespace elver;
using namespace elver::test;

namespace {

std::string read(const std::string& text) {
    const auto json = parse_json(text, "text");
    return json ? json->dump() : message_of(json);
}

}  // namespace

TEST_CASE("json: values as they were written, objects in their order") {
    for (const char* text : {"null", "true", "-7", "18446744073709551615", "1.5", "\"a\\u0000b\"", "[]", "{}",
                             "[[1],[],{}]", R"({"z":1,"a":{"y":[{"b":null},"x"],"c":2},"":[]})"})
        CHECK(read(text) == text);
}

TEST_CASE("json: of a key that comes twice the last value counts, at the first one's place") {
    CHECK(read(R"({"a":1,"b":2,"a":{"c":3}})") == R"({"a":{"c":3},"b":2})");
    // With as many keys as are looked up one by one, and with more.
    for (const int n : {15, 16, 17, 100}) {
        std::string text = "{", expected = "{";
        for (int i = 0; i < n; ++i) text += cat("\"", i, "\":0,");
        for (int i = 0; i < n; ++i) {
            text += cat("\"", i, "\":1", i + 1 < n ? "," : "}");
            expected += cat("\"", i, "\":1", i + 1 < n ? "," : "}");
        }
        CHECK(read(text) == expected);
    }
}

TEST_CASE("json: what is wrong is named with its byte, deep nesting with its limit") {
    CHECK(read("").find("text: not valid JSON at byte 1") == 0);
    CHECK(read("{").find("text: not valid JSON at byte 2") == 0);
    CHECK(read("[1,]").find("text: not valid JSON at byte 4") == 0);
    CHECK(read("{} x").find("text: not valid JSON at byte 4") == 0);
    CHECK(read("\"\xff\"").find("not valid JSON") != std::string::npos);
    CHECK(read("1e999").find("not valid JSON") != std::string::npos);
    const auto nested = [](size_t n) { return std::string(n, '[') + std::string(n, ']'); };
    CHECK(read(nested(200)) == nested(200));
    CHECK(read(nested(201)) == "text: nested more than 200 deep");
    CHECK(read(std::string(1000000, '[')) == "text: nested more than 200 deep");
}

TEST_CASE("json: what is read is what the other library reads, whatever the text") {
    const char* const pieces[] = {"{",
                                  "}",
                                  "[",
                                  "]",
                                  ",",
                                  ":",
                                  "\"",
                                  "\"a\"",
                                  "\\u00e9",
                                  "\\ud83d\\ude00",
                                  "1",
                                  "-0.5",
                                  "1e5",
                                  "01",
                                  "null",
                                  "true",
                                  "\\",
                                  " ",
                                  "\n",
                                  "\xc3\xa9",
                                  "\xff",
                                  "1E-3",
                                  "12345678901234567890",
                                  "-9223372036854775808",
                                  "\"k\":",
                                  "\\n",
                                  "false",
                                  "\xef\xbb\xbf"};
    std::mt19937 random(7);
    size_t n_valid = 0;
    for (int round = 0; round < 200000; ++round) {
        std::string text;
        const int n = 1 + static_cast<int>(random() % 8);
        for (int i = 0; i < n; ++i) text += pieces[random() % std::size(pieces)];
        const auto ours = parse_json(text, "text");
        const auto theirs = nlohmann::ordered_json::parse(text, nullptr, false);
        CAPTURE(text);
        REQUIRE(bool(ours) == !theirs.is_discarded());
        if (!ours) continue;
        ++n_valid;
        REQUIRE(ours->dump() == theirs.dump());
        REQUIRE(ours->dump(2) == theirs.dump(2));
    }
    CHECK(n_valid > 1000);
}

TEST_CASE("json: numbers are written as the other library writes them, and read again as they were") {
    const auto written = [](double value) {
        CAPTURE(value);
        std::string text = Json(value).dump();
        const auto again = parse_json(text, "text");
        REQUIRE(again);
        REQUIRE(std::bit_cast<uint64_t>(again->number()) == std::bit_cast<uint64_t>(value));
        return text;
    };
    for (const double value : {0.0, -0.0, 1.0, -1.5, 0.1, 1e14, 1e15, 123456789012345.0, 1234567890123456.0, 1e16, 1e22,
                               1e-4, 1e-5, 0.00012345, 5e-324, 1.7976931348623157e308, 1e100, 3.14, 2.5e-7})
        CHECK(written(value) == nlohmann::json(value).dump());
    std::mt19937_64 random(11);
    for (int i = 0; i < 100000; ++i) {
        const double value = std::bit_cast<double>(random());
        // The other library's digits are neither always the fewest nor always the nearest.
        if (std::isfinite(value)) REQUIRE(written(value).size() <= nlohmann::json(value).dump().size());
    }
    CHECK(Json(INFINITY).dump() == "null");
    CHECK(Json(UINT64_MAX).dump() == "18446744073709551615");
    CHECK(Json(INT64_MIN).dump() == "-9223372036854775808");
}

TEST_CASE("json: invalid UTF-8 is written as U+FFFD, control characters as escapes") {
    CHECK(Json("a\xffz\xe2\x82").dump() == "\"a\xEF\xBF\xBDz\xEF\xBF\xBD\"");
    CHECK(Json(std::string_view("\0\x1f\x7f\"\\/\b\f\n\r\t", 11)).dump() == R"("\u0000\u001f)"
                                                                            "\x7f"
                                                                            R"(\"\\/\b\f\n\r\t")");
}

TEST_CASE("json: members are found, made, replaced and erased in their order") {
    Json json;
    json["b"] = 1;
    json["a"] = Json::array({"x", Json()});
    json["b"] = 2.0;
    CHECK(json.dump() == R"({"b":2.0,"a":["x",null]})");
    CHECK(json.find("c") == nullptr);
    CHECK(json.find("a")->size() == 2);
    CHECK(Json("text").find("a") == nullptr);
    json.erase("b");
    json.erase("b");
    CHECK(json.dump(1) == "{\n \"a\": [\n  \"x\",\n  null\n ]\n}");
    CHECK(Json::object().dump(2) == "{}");
}

TEST_CASE("json: a copy is a value of its own") {
    const auto read = parse_json(R"({"a":[1,-2,18446744073709551615,0.5,true,null,"x"],"b":{"c":{}}})", "text");
    REQUIRE(read);
    Json copy = *read;
    CHECK(copy.dump() == read->dump());
    copy["a"].items()[6] = copy["b"];
    copy["b"]["c"] = Json::array({copy});
    CHECK(read->dump() == R"({"a":[1,-2,18446744073709551615,0.5,true,null,"x"],"b":{"c":{}}})");
    CHECK(
        copy.dump() ==
        R"({"a":[1,-2,18446744073709551615,0.5,true,null,{"c":{}}],"b":{"c":[{"a":[1,-2,18446744073709551615,0.5,true,null,{"c":{}}],"b":{"c":{}}}]}})");
}
