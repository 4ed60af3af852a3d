// A template is file content: whatever it asks for, rendering ends soon, in bounded memory and on a bounded stack.
#include <doctest/doctest.h>
#include <pthread.h>

#include "chat/template.hpp"
#include "message_of.hpp"
#include "ours.hpp"

namespace {

using elver::ChatTemplate;
using elver::Status;
using Json = nlohmann::ordered_json;

std::string repeated(const std::string& text, size_t n) {
    std::string out;
    for (size_t i = 0; i < n; ++i) out += text;
    return out;
}

elver::Result<std::string> rendered(const std::string& source, const Json& variables = Json::object()) {
    auto parsed = ChatTemplate::parse(source);
    if (!parsed) return std::move(parsed.error());
    auto text = parsed->render(elver::test::ours(variables));
    if (!text) return std::move(text).error();
    return std::move(text->text);
}

// As much as a thread of an app may have (macOS and iOS). Frames are larger where they are checked or not optimised.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ELVER_SANITIZED
#endif
#endif
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(ELVER_SANITIZED)
constexpr size_t small_stack = 512 << 10;
#else
constexpr size_t small_stack = 8 << 20;
#endif

// Runs work on a thread with a small stack.
template <class Work>
void on_small_stack(Work work) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    REQUIRE(pthread_attr_setstacksize(&attributes, small_stack) == 0);
    pthread_t thread;
    const auto run = [](void* context) -> void* {
        (*static_cast<Work*>(context))();
        return nullptr;
    };
    REQUIRE(pthread_create(&thread, &attributes, run, &work) == 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
}

}  // namespace

TEST_CASE("chat templates: endless work and huge values end as errors") {
    const std::string loops = repeated("{% for i in range(100000) %}", 6) + "{{ i }}" + repeated("{% endfor %}", 6);
    const std::string doubling =
        "{% set ns = namespace(s='ab') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}";
    const std::string lists =
        "{% set ns = namespace(l=[0]) %}{% for i in range(64) %}{% set ns.l = ns.l + ns.l %}{% endfor %}{{ ns.l }}";
    const std::string nested_loops =
        "{% set ns = namespace(l=[0]) %}{% for i in range(22) %}{% set ns.l = ns.l + ns.l %}{% endfor %}" +
        repeated("{% for i in ns.l %}", 40) + repeated("{% endfor %}", 40);
    const std::string kept =
        "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = ns.l + [ns.l] %}{% endfor %}";
    for (const std::string& source : {
             loops,
             doubling,
             lists,
             nested_loops,
             kept,
             std::string("{{ 'a' * 1000000000000 }}"),
             std::string("{{ [0] * 1000000000000 }}"),
             std::string("{{ ('a' * 10000000).replace('a', 'b' * 10000) }}"),
             std::string("{{ ('a' * 1000000).join(range(100000) | map('string') | list) }}"),
             std::string("{{ range(100000) | join('a' * 1000000) }}"),
             std::string("{{ ('a\\n' * 1000000) | indent(1000000) }}"),
             std::string("{{ ('<' * 30000000) | safe + '<' * 30000000 }}"),
             std::string("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
             std::string("{% macro f(n) %}{{ f(n - 1) ~ f(n - 1) if n else 'x' }}{% endmacro %}{{ f(40) }}"),
             std::string("{% set ns = namespace() %}{% set ns.l = [] %}{% for i in range(5000) %}{% set ns.l = [ns.l] "
                         "%}{% endfor %}{{ ns.l }}"),
             std::string("{% set ns = namespace(a=1) %}{% set ns.me = ns %}{% for i in range(500) %}{% set ns.a = "
                         "dict(ns=ns.a) %}{% endfor %}{{ ns.a | tojson }}"),
         }) {
        CAPTURE(source.substr(0, 200));
        const auto text = rendered(source);
        REQUIRE(!text);
        CHECK_MESSAGE((text.error().status() == Status::over_budget || text.error().status() == Status::unsupported),
                      text.error().message());
    }
}

TEST_CASE("chat templates: nesting in the source is bounded before the stack is") {
    const size_t n = 200000;
    for (const std::string& source : {
             "{{ " + repeated("(", n) + "1" + repeated(")", n) + " }}",
             "{{ " + repeated("[", n) + repeated("]", n) + " }}",
             "{{ " + repeated("not ", n) + "1 }}",
             "{{ " + repeated("-", n) + "1 }}",
             "{{ x" + repeated(".a", n) + " }}",
             "{{ x" + repeated("[0]", n) + " }}",
             "{{ x" + repeated("()", n) + " }}",
             "{{ x" + repeated("|trim", n) + " }}",
             "{{ 1" + repeated(" + 1", n) + " }}",
             "{{ 1" + repeated(" * 1", n) + " }}",
             "{{ 1" + repeated(" if 1 else 1", n) + " }}",
             "{{ 1" + repeated(" and 1", n) + " }}",
             "{{ x" + repeated(" is defined", n) + " }}",
             repeated("{% if 1 %}", n) + repeated("{% endif %}", n),
             "{% if 1 %}" + repeated("{% elif 1 %}", n) + "{% endif %}",
             repeated("{% for i in [1] %}", n) + repeated("{% endfor %}", n),
             repeated("{% macro m() %}", n) + repeated("{% endmacro %}", n),
             repeated("{% filter upper %}", n) + repeated("{% endfilter %}", n),
             "{% set " + repeated("(", n) + "a" + repeated(")", n) + " = 1 %}",
         }) {
        CAPTURE(source.substr(0, 60));
        on_small_stack([&] {  // an answer or an error; most are an error
            const auto text = rendered(source);
            if (!text) CHECK(text.error().message().size() < 300);
        });
    }
}

TEST_CASE("chat templates: recursion ends before a small stack does") {
    for (const std::string& source : {
             std::string("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
             std::string(
                 "{% macro f() %}{% if 1 %}{% for i in [1] %}{% filter upper %}{{ (f() | trim) ~ 1 }}{% endfilter "
                 "%}{% endfor %}{% endif %}{% endmacro %}{{ f() }}"),
             std::string("{% macro f(x) %}{{ [(1, {'a': not f(x ~ 1)})] | map('upper') | list | tojson }}{% endmacro "
                         "%}{{ f('') }}"),
             std::string(
                 "{% macro f() %}{% set x %}{% with a = f() %}{% endwith %}{% endset %}{% endmacro %}{{ f() }}"),
             std::string("{% set ns = namespace(l=[]) %}{% for i in range(290) %}{% set ns.l = [ns.l] %}{% endfor %}{{ "
                         "ns.l }}{{ ns.l | tojson }}{{ ns.l == ns.l + [] }}{{ [ns.l, ns.l] | sort }}"),
             std::string("{% set ns = namespace(l={}) %}{% for i in range(290) %}{% set ns.l = {'a': ns.l} %}{% endfor "
                         "%}{{ ns.l }}{{ ns.l | tojson(indent=2) }}{{ ns.l == dict(ns.l) }}"),
         }) {
        CAPTURE(source);
        on_small_stack([&] {
            const auto text = rendered(source);
            if (!text) CHECK_MESSAGE(text.error().status() != Status::internal, elver::test::message_of(text));
        });
    }
}

TEST_CASE("chat templates: variables nested too deeply are an error") {
    Json deep = 1;
    for (int i = 0; i < 1000; ++i) deep = Json::array({std::move(deep)});
    const auto text = rendered("{{ x }}", {{"x", std::move(deep)}});
    REQUIRE(!text);
    CHECK(text.error().message().find("nested too deeply") != std::string::npos);
}

TEST_CASE("chat templates: a template of more than 4 MiB is refused, one below renders") {
    CHECK(!ChatTemplate::parse(std::string((4 << 20) + 1, 'x')));
    const auto text = rendered(std::string(4 << 20, 'x'));
    REQUIRE(text);
    CHECK(text->size() == 4 << 20);
}

TEST_CASE("chat templates: a budget belongs to one rendering") {
    const auto parsed = ChatTemplate::parse("{{ 'x' * n }}");
    REQUIRE(parsed);
    for (int i = 0; i < 8; ++i) {
        const auto big = parsed->render(elver::test::ours({{"n", 30 << 20}}));
        REQUIRE(big);
        CHECK(big->text.size() == 30 << 20);
    }
    CHECK(!parsed->render(elver::test::ours({{"n", 1 << 30}})));
}
