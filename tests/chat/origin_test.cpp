// Rendered text knows which of its bytes were typed: they came with the variables or were computed from them.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>

#include "chat/template.hpp"
#include "message_of.hpp"
#include "ours.hpp"

namespace {

using elver::ChatTemplate;
using elver::Rendered;
using Json = nlohmann::ordered_json;

elver::Result<Rendered> rendered(const std::string& source, const Json& variables) {
    auto parsed = ChatTemplate::parse(source);
    if (!parsed) return std::move(parsed.error());
    return parsed->render(elver::test::ours(variables), {"<bos>", "<eos>"});
}

// The text with what was typed in « ».
std::string marked(const std::string& source, const Json& variables) {
    const auto r = rendered(source, variables);
    REQUIRE_MESSAGE(r, elver::test::message_of(r));
    std::string out;
    size_t at = 0;
    for (const elver::Range& range : r->typed) {
        REQUIRE(at <= range.begin);
        REQUIRE(range.begin < range.end);
        REQUIRE(range.end <= r->text.size());
        out += r->text.substr(at, range.begin - at) + "«" + r->text.substr(range.begin, range.end - range.begin) + "»";
        at = range.end;
    }
    return out + r->text.substr(at);
}

}  // namespace

TEST_CASE("origins: what stands in the template is its own, what comes with the variables was typed") {
    const Json variables = {{"x", "ab"},
                            {"s", " a b "},
                            {"n", 7},
                            {"l", Json::array({"p", "q"})},
                            {"messages", Json::array({Json{{"role", "user"}, {"content", "hi"}}})}};
    struct Row {
        const char *source, *text;
    };
    for (const Row& row : {
             Row{"<{{ x }}>", "<«ab»>"},
             Row{"{{ '<' + x + '>' }}{{ '<' ~ x ~ '>' }}", "<«ab»><«ab»>"},
             Row{"{{ bos_token }}{{ eos_token ~ x }}", "<bos><eos>«ab»"},
             Row{"{% for m in messages %}<|{{ m.role }}|>{{ m['content'] }}{% endfor %}", "<|user|>«hi»"},
             Row{"{{ n }}{{ none }}{{ true }}", "«7NoneTrue»"},
             Row{"{{ ('[' ~ s ~ ']').replace('a', '<a>') }}", "[« »<a>« b »]"},
             Row{"{{ 'a,b'.replace(',', x) }}{{ 'x' | replace('x', x) }}", "a«ab»b«ab»"},
             Row{"[{{ s | trim }}][{{ s.strip() }}][{{ ' y ' | trim }}]", "[«a b»][«a b»][y]"},
             Row{"{{ ('<' ~ x ~ '>')[1:] }}{{ ('<' ~ x ~ '>')[:2] }}{{ ('<' ~ x)[0] }}", "«ab»><«a»<"},
             Row{"{{ ('1 ' ~ x ~ ' 2').split(' ') | join('|') }}", "1|«ab»|2"},
             Row{"{{ l | join('<>') }}{{ ', '.join(l) }}{{ ['a', 'b'] | join(x) }}", "«p»<>«qp», «q»a«ab»b"},
             Row{"{{ x | upper }}{{ 'c' | upper }}{{ ('c' ~ x) | upper }}", "«AB»C«CAB»"},
             Row{"{{ x.title() }}{{ 'c'.title() }}", "«Ab»C"},
             Row{"{{ '<{}>'.format(x) }}{{ '{0}'.format('a') }}{{ '{}'.format(3) }}", "<«ab»>a«3»"},
             Row{"{{ x * 2 }}{{ '-' * 3 }}{{ ('<' ~ x) * 2 }}", "«abab»---<«ab»<«ab»"},
             Row{"{{ {'k': x} | tojson }}", "«{\"k\": \"ab\"}»"},
             Row{"{% set t %}<{{ x }}>{% endset %}{{ t }}{{ t | length }}", "<«ab»>«4»"},
             Row{"{% macro f(y) %}({{ y }}){% endmacro %}{{ f(x) }}{{ f('z') }}", "(«ab»)(z)"},
             Row{"{% filter trim %} {{ x }} {% endfilter %}{% filter upper %}q{% endfilter %}", "«ab»Q"},
             Row{"{% set ns = namespace(t='') %}{% for c in l %}{% set ns.t = ns.t + c + ',' %}{% endfor %}{{ ns.t }}",
                 "«p»,«q»,"},
             Row{"{{ x | indent(2, true) }}{{ ('a\n' ~ x) | indent(1) }}", "  «ab»a\n «ab»"},
             Row{"{{ ('<' ~ x).rsplit('<', 1)[1] }}{{ ('a\n' ~ x).splitlines() | join('|') }}", "«ab»a|«ab»"},
             Row{"{{ x | default('d') }}{{ y | default('d') }}{{ x if n else 'e' }}", "«ab»d«ab»"},
             Row{"{{ ('<' ~ x) | reverse }}{{ '<>' | reverse }}{{ x | list | join }}", "«ba<»><«ab»"},
             Row{"{{ ('<b>' | safe) ~ x }}{{ ('<b>' | safe) + '<' }}", "<b>«ab»<b>&lt;"},
             Row{"{{ {'a': '<k>', 'b': x}.a }}{{ dict(a='<k>').items() | map('last') | join }}", "<k><k>"},
             Row{"{% for k, v in {'<k>': x} | items %}{{ k }}{{ v }}{% endfor %}{{ messages[0] | items | map('first') "
                 "| "
                 "join }}",
                 "<k>«abrolecontent»"},
         }) {
        CAPTURE(row.source);
        CHECK(marked(row.source, variables) == row.text);
    }
}

TEST_CASE("origins: a role is the template's only if templates know it") {
    const std::string source = "{% for m in messages %}<|{{ m.role }}|>{% endfor %}";
    const auto of_role = [](const char* role) {
        Json variables;
        variables["messages"][0]["role"] = role;
        return variables;
    };
    for (const char* known : {"system", "developer", "user", "assistant", "tool"})
        CHECK(marked(source, of_role(known)) == "<|" + std::string(known) + "|>");
    for (const char* unknown : {"im_start", "User", "user ", "<|im_start|>", "endoftext"})
        CHECK(marked(source, of_role(unknown)) == "<|«" + std::string(unknown) + "»|>");
    CHECK(marked("{{ role }}{{ m.role }}", Json::parse(R"({"role": "user", "m": {"role": "user"}})")) == "«useruser»");
}

// Every text in the variables gets a character that no template writes; where it shows, it must count as typed.
TEST_CASE("origins: no template turns typed text into its own") {
    std::ifstream in(ELVER_TEST_DATA "/golden/chat/templates.json");
    const Json file = Json::parse(in);
    const std::string mark = "\U000F0000";
    size_t n_shown = 0;
    for (const Json& one : file["cases"]) {
        CAPTURE(one["name"]);
        for (const Json& run : one["runs"]) {
            Json variables = run["variables"];
            const auto put = [&](const auto& self, Json& value) -> void {
                if (value.is_string()) value = mark + value.get<std::string>() + mark;
                if (value.is_structured())
                    for (auto& item : value) self(self, item);
            };
            put(put, variables);
            variables["now"] = file["now"];
            const auto r = rendered(one["template"].get_ref<const std::string&>(), variables);
            if (!r) continue;
            for (size_t at = 0; (at = r->text.find(mark, at)) != std::string::npos; at += mark.size()) {
                ++n_shown;
                const bool typed = std::any_of(r->typed.begin(), r->typed.end(), [&](const elver::Range& range) {
                    return range.begin <= at && at + mark.size() <= range.end;
                });
                CHECK(typed);
            }
        }
    }
    CHECK(n_shown > 300);
}
