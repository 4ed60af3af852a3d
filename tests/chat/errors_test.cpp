// A failing template is an error that names what failed and its line; what elver lacks is refused by its name.
#include <doctest/doctest.h>

#include "chat/template.hpp"
#include "ours.hpp"

namespace {

using elver::ChatTemplate;
using elver::Status;
using Json = nlohmann::ordered_json;

elver::Result<std::string> rendered(const std::string& source, const Json& variables = Json::object()) {
    auto parsed = ChatTemplate::parse(source);
    if (!parsed) return std::move(parsed.error());
    auto text = parsed->render(elver::test::ours(variables));
    if (!text) return std::move(text).error();
    return std::move(text->text);
}

struct Row {
    const char* source;
    Status status;
    const char* line;
    const char* names;
};

void check(const Row& row) {
    CAPTURE(row.source);
    const auto text = rendered(row.source);
    REQUIRE(!text);
    const std::string& message = text.error().message();
    CAPTURE(message);
    CHECK(text.error().status() == row.status);
    CHECK(message.starts_with(row.line));
    CHECK(message.find(row.names) != std::string::npos);
}

}  // namespace

TEST_CASE("chat templates: broken syntax names what was expected and its line") {
    for (const Row& row : {
             Row{"a\n{% if %}{% endif %}", Status::bad_file, "line 2: ", "expected"},
             Row{"{{ 1 +\n }}", Status::bad_file, "line 2: ", "expected"},
             Row{"\n\n{% endif %}", Status::bad_file, "line 3: ", "endif"},
             Row{"\n{% for a in b %}x", Status::bad_file, "line ", "endfor"},
             Row{"{{ 'open }}", Status::bad_file, "line 1: ", "string"},
             Row{"x\n{{ [1, 2 }}", Status::bad_file, "line 2: ", "expected"},
             Row{"\n{% nothing %}", Status::bad_file, "line 2: ", "nothing"},
             Row{"{# open", Status::bad_file, "line 1: ", "comment"},
             Row{"{% macro f(a=1, b) %}{% endmacro %}", Status::bad_file, "line 1: ", "default"},
             Row{"{% break %}", Status::bad_file, "line 1: ", "break"},
         })
        check(row);
}

TEST_CASE("chat templates: what elver lacks is unsupported, by its name and line") {
    for (const Row& row : {
             Row{"\n{% include 'x' %}", Status::unsupported, "line 2: ", "{% include %}"},
             Row{"{% block a %}{% endblock %}", Status::unsupported, "line 1: ", "{% block %}"},
             Row{"{% autoescape true %}{% endautoescape %}", Status::unsupported, "line 1: ", "autoescape"},
             Row{"\n{{ 1 | wordwrap }}", Status::unsupported, "line 2: ", "filter \"wordwrap\""},
             Row{"{{ 1 is prime }}", Status::unsupported, "line 1: ", "test \"prime\""},
             Row{"\n\n{{ ['a'] | map('nope') | list }}", Status::unsupported, "line 3: ", "filter \"nope\""},
             Row{"{{ [1] | select('nope') | list }}", Status::unsupported, "line 1: ", "test \"nope\""},
             Row{"{{ 'a'.encode() }}", Status::unsupported, "line 1: ", "str.encode"},
             Row{"{{ 'a'.zfill(3) }}", Status::unsupported, "line 1: ", "str.zfill"},
             Row{"\n{{ '%s' % 1 }}", Status::unsupported, "line 2: ", "% of a text"},
             Row{"{{ '{:>4}'.format(1) }}", Status::unsupported, "line 1: ", "field \":>4\""},
             Row{"\n{{ 2 ** 2 }}", Status::unsupported, "line 2: ", "**"},
             Row{"\n{{ f(*l) }}", Status::unsupported, "line 2: ", "* in the arguments"},
             Row{"{{ 1_000 }}", Status::unsupported, "line 1: ", "1_"},
             Row{"{{ 0xFF }}", Status::unsupported, "line 1: ", "0x"},
             Row{"{{ 99999999999999999999 * 99999999999999999999 }}", Status::unsupported, "line 1: ", "128 bits"},
             Row{"\n{% call f() %}{% endcall %}", Status::unsupported, "line 2: ", "{% call %}"},
             Row{"\n{% for a in b recursive %}{% endfor %}", Status::unsupported, "line 2: ", "recursive"},
             Row{"{% for a in [1] %}\n{{ loop.cycle(1) }}{% endfor %}", Status::unsupported, "line 2: ", "loop.cycle"},
             Row{"\n{% macro f() %}{{ varargs }}{% endmacro %}", Status::unsupported, "line 2: ", "varargs"},
             Row{"{{ [] | sort(attribute='a,b') }}", Status::unsupported, "line 1: ", "several attributes"},
             Row{"{{ strftime_now('%Q') }}", Status::unsupported, "line 1: ", "%Q"},
         })
        check(row);
    // Behind an if that is not taken it does no harm, as in jinja2.
    const auto text = rendered("{% if x %}{{ 1 | wordwrap }}{% endif %}ok");
    REQUIRE(text);
    CHECK(*text == "ok");
}

TEST_CASE("chat templates: a failure while rendering names the cause and its line") {
    for (const Row& row : {
             Row{"\n{{ x.y }}", Status::invalid_argument, "line 2: ", "'x' is undefined"},
             Row{"{{ {'a': 1}.b.c }}", Status::invalid_argument, "line 1: ", "'b'"},
             Row{"{{ none.upper() }}", Status::invalid_argument, "line 1: ", "'upper'"},
             Row{"{{ 1 + 'a' }}", Status::invalid_argument, "line 1: ", "'int' and 'str'"},
             Row{"{{ 'a' < 1 }}", Status::invalid_argument, "line 1: ", "'str' and 'int'"},
             Row{"\n{{ 1 / 0 }}", Status::invalid_argument, "line 2: ", "division by zero"},
             Row{"{{ [].append(1) }}", Status::invalid_argument, "line 1: ", "unsafe"},
             Row{"{{ range(1000000) }}", Status::invalid_argument, "line 1: ", "100000"},
             Row{"{% for i in 5 %}{% endfor %}", Status::invalid_argument, "line 1: ", "'int' object is not iterable"},
             Row{"{% set a, b = [1] %}", Status::invalid_argument, "line 1: ", "unpack"},
             Row{"\n{{ cycler(1) }}", Status::invalid_argument, "line 2: ", "'cycler' is undefined"},
             Row{"{{ '{} {}'.format(1) }}", Status::invalid_argument, "line 1: ", "index 1"},
             Row{"{{ '{x}'.format(1) }}", Status::invalid_argument, "line 1: ", "\"x\""},
             Row{"{{ '[1,' | from_json }}", Status::invalid_argument, "line 1: ", "not valid JSON"},
             Row{"{{ 'x' | replace('a') }}", Status::invalid_argument, "line 1: ", "replace()"},
             Row{"{% macro f(a) %}{% endmacro %}\n{{ f(1, 2) }}", Status::invalid_argument, "line 2: ", "'f'"},
             Row{"{{ x | tojson }}", Status::invalid_argument, "line 1: ", "JSON"},
             Row{"{{ raise_exception('Only this: é') }}", Status::invalid_argument, "Only this: é", "é"},
         })
        check(row);
}

TEST_CASE("chat templates: variables that are no object are an error") {
    const auto parsed = ChatTemplate::parse("x");
    REQUIRE(parsed);
    for (const Json& variables : {Json::array(), Json("text"), Json(nullptr), Json(1)}) {
        const auto text = parsed->render(elver::test::ours(variables));
        REQUIRE(!text);
        CHECK(text.error().status() == Status::invalid_argument);
        CHECK(text.error().message().find("expected an object") != std::string::npos);
    }
}
