// JSON from outside: order, keys that come twice, errors, depth.
#include "base/json.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
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
