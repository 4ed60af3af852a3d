// Templates render as Python's jinja2 renders them: tests/golden/chat/templates.json, made by the script beside it.
#include <doctest/doctest.h>

#include <fstream>
#include <thread>

#include "chat/template.hpp"
#include "message_of.hpp"
#include "ours.hpp"

namespace {

using elver::ChatTemplate;
using Json = nlohmann::ordered_json;

Json golden() {
    std::ifstream in(ELVER_TEST_DATA "/golden/chat/templates.json");
    return Json::parse(in);
}

// Parse and render as one step: some templates fail in the first, some in the second.
elver::Result<std::string> rendered(const std::string& source, const Json& variables) {
    auto parsed = ChatTemplate::parse(source);
    if (!parsed) return std::move(parsed.error());
    auto text = parsed->render(elver::test::ours(variables));
    if (!text) return std::move(text).error();
    return std::move(text->text);
}

}  // namespace

TEST_CASE("chat templates: texts and the template's own exceptions are those of jinja2") {
    const Json file = golden();
    size_t n_texts = 0, n_failures = 0;
    for (const Json& one : file["cases"]) {
        const auto& source = one["template"].get_ref<const std::string&>();
        CAPTURE(one["name"]);
        CAPTURE(source);
        for (const Json& run : one["runs"]) {
            Json variables = run["variables"];
            variables["now"] = file["now"];
            const auto text = rendered(source, variables);
            if (run.contains("text")) {
                ++n_texts;
                REQUIRE_MESSAGE(text, elver::test::message_of(text));
                CHECK(*text == run["text"].get_ref<const std::string&>());
                continue;
            }
            ++n_failures;
            REQUIRE(!text);
            if (run.contains("raised")) CHECK(text.error().message() == run["raised"].get_ref<const std::string&>());
        }
    }
    CHECK(n_texts > 200);
    CHECK(n_failures > 40);
}

TEST_CASE("chat templates: one template renders in several threads") {
    const auto parsed = ChatTemplate::parse(
        "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{% for m in messages %}{{ twice(m.content) | upper }};{% "
        "endfor %}");
    REQUIRE(parsed);
    std::vector<std::thread> threads;
    std::vector<int> n_right(4);
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            const char digit = static_cast<char>('0' + t);
            const Json variables = {{"messages", {{{"content", std::string("w") + digit}}, {{"content", "x"}}}}};
            const std::string expected{'W', digit, 'W', digit, ';', 'X', 'X', ';'};
            for (int i = 0; i < 200; ++i) {
                const auto text = parsed->render(elver::test::ours(variables));
                n_right[static_cast<size_t>(t)] += text && text->text == expected;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    for (int n : n_right) CHECK(n == 200);
}

TEST_CASE("chat templates: what the caller does not give is as transformers has it") {
    const auto text = rendered(
        "{{ tools }} {{ documents is none }} {{ tools is defined }} {{ add_generation_prompt }} {{ x is defined }}",
        Json::object());
    REQUIRE(text);
    CHECK(*text == "None True True False False");
}

TEST_CASE("chat templates: now is seconds since 1970 or an ISO 8601 text") {
    const std::string source = "{{ strftime_now('%Y-%m-%d %H:%M') }}";
    const auto text = rendered(source, {{"now", "2024-02-29T23:59:00Z"}});
    REQUIRE(text);
    CHECK(*text == "2024-02-29 23:59");
    CHECK(rendered(source, {{"now", 1700000000}}));
    for (const Json& bad : {Json("yesterday"), Json("2023-02-29"), Json(1e300), Json::array()}) {
        CAPTURE(bad);
        const auto failed = rendered(source, {{"now", bad}});
        REQUIRE(!failed);
        CHECK(failed.error().status() == elver::Status::invalid_argument);
        CHECK(failed.error().message().find("now") != std::string::npos);
    }
}

TEST_CASE("chat templates: invalid UTF-8 in a variable becomes U+FFFD, in a template it is an error") {
    const auto text = rendered("{{ s }}|{{ s | length }}", {{"s", "a\xFFz"}});
    REQUIRE(text);
    CHECK(*text == "a\xEF\xBF\xBDz|3");
    const auto parsed = ChatTemplate::parse("a\xC3");
    REQUIRE(!parsed);
    CHECK(parsed.error().status() == elver::Status::bad_file);
    CHECK(parsed.error().message().find("UTF-8") != std::string::npos);
}
