// The shapes in which clients send messages, and what templates get of them.
#include "chat/messages.hpp"

#include <doctest/doctest.h>

#include "message_of.hpp"
#include "ours.hpp"

namespace {

using namespace elver;
using Given = nlohmann::ordered_json;

// Texts and tool calls, as most templates write them.
const char* const plain =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}[{{ c.function.name }} "
    "{{ c.function.arguments | tojson }}]{% endfor %}{% endfor %}";

ChatTemplate parsed(const std::string& source) {
    auto chat = ChatTemplate::parse(source);
    REQUIRE_MESSAGE(chat, test::message_of(chat));
    return *std::move(chat);
}

Result<std::string> rendered(const std::string& source, const Given& given) {
    const ChatTemplate chat = parsed(source);
    Json variables = test::ours(given);
    if (auto done = prepare_messages(chat, variables); !done) return std::move(done).error();
    auto text = chat.render(variables);
    if (!text) return std::move(text).error();
    return std::move(text->text);
}
std::string text_of(const std::string& source, Given messages) {
    const auto text = rendered(source, {{"messages", std::move(messages)}});
    REQUIRE_MESSAGE(text, test::message_of(text));
    return *text;
}
std::string error_of(const std::string& source, Given variables) {
    const auto text = rendered(source, std::move(variables));
    REQUIRE(!text);
    return text.error().message();
}

Given one(Given message) {
    return Given::array({std::move(message)});
}
Given calls(Given content, Given arguments) {
    const Given function = {{"name", "f"}, {"arguments", std::move(arguments)}};
    const Given call = {{"id", "c1"}, {"type", "function"}, {"function", function}};
    return one({{"role", "assistant"}, {"content", std::move(content)}, {"tool_calls", one(call)}});
}
Given user(Given content) {
    return one({{"role", "user"}, {"content", std::move(content)}});
}
Given part(const char* text) {
    return {{"type", "text"}, {"text", text}};
}

}  // namespace

TEST_CASE("messages: content that is null or missing is an empty text") {
    CHECK(text_of(plain, user(nullptr)) == "<user>");
    CHECK(text_of(plain, one({{"role", "user"}})) == "<user>");
    CHECK(text_of(plain, calls(nullptr, "{}")) == "<assistant>[f {}]");
    CHECK(text_of(plain, one({{"role", "assistant"}, {"content", "a"}, {"tool_calls", nullptr}})) == "<assistant>a");
    // A template that tells calls by content that is none gets it so.
    const char* const by_none =
        "{% for m in messages %}{% if m.content is none %}[{% for c in m.tool_calls %}{{ c.function.name ~ "
        "c.function.arguments }}{% endfor %}]{% else %}{{ m.content }}{% endif %}{% endfor %}";
    CHECK(text_of(by_none, calls(nullptr, R"({"a": 1})")) == "[f{'a': 1}]");
    CHECK(text_of(by_none, user(nullptr)).empty());
}

TEST_CASE("messages: parts of text are joined, or passed to a template that takes a list") {
    const Given parts = Given::array({part("Say "), part("hi.")});
    CHECK(text_of(plain, user(parts)) == "<user>Say hi.");
    CHECK(text_of(plain, user(Given::array())) == "<user>");
    const char* const takes_both =
        "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
        "({{ p.text }}){% endfor %}{% endif %}{% endfor %}";
    CHECK(text_of(takes_both, user(parts)) == "(Say )(hi.)");
    const char* const takes_lists =
        "{% for m in messages %}{% for p in m.content %}{% if p.type == 'text' %}({{ p.text }}){% endif %}{% endfor %}"
        "{% endfor %}";
    CHECK(text_of(takes_lists, user("Say hi.")) == "(Say hi.)");
}

TEST_CASE("messages: what is no text is an error that names the message") {
    const auto error = [](Given second) {
        const Given first = {{"role", "system"}, {"content", "a"}};
        return error_of(plain, {{"messages", Given::array({first, std::move(second)})}});
    };
    const auto content_error = [&](Given content) {
        return error({{"role", "user"}, {"content", std::move(content)}});
    };
    const auto has = [](const std::string& text, const char* what) { return text.find(what) != std::string::npos; };
    const Given image = {{"type", "image_url"}, {"image_url", {{"url", "data:"}}}};
    const std::string picture = content_error(Given::array({part("a"), image}));
    CHECK(has(picture, "message 2: part 2"));
    CHECK(has(picture, "image_url"));
    CHECK(has(content_error(42), "message 2: content"));
    CHECK(has(content_error(one("text")), "message 2: part 1"));
    CHECK(has(content_error(one({{"type", "text"}, {"text", 1}})), "message 2: part 1"));
    CHECK(has(error({{"role", "assistant"}, {"tool_calls", 3}}), "message 2: tool_calls"));
}

TEST_CASE("messages: developer is system where the template does not know it") {
    const Given messages = one({{"role", "developer"}, {"content", "a"}});
    CHECK(text_of(plain, messages) == "<system>a");
    CHECK(text_of(std::string(plain) + "{# developer #}", messages) == "<developer>a");
}

TEST_CASE("messages: arguments of calls are the same as JSON text and as a mapping") {
    const char* const walk =
        "{% for m in messages %}{% for c in m.tool_calls or [] %}{% for k, v in c.function.arguments | items %}<{{ k "
        "}}="
        "{{ v }}>{% endfor %}{% endfor %}{% endfor %}";
    const char* const as_text =
        "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.name + c.function.arguments }}{% endfor "
        "%}{% endfor %}";
    const std::string text = R"({"city":"Oslo","n":[1,2]})";
    for (const Given& arguments : {Given(text), Given::parse(text)}) {
        CAPTURE(arguments);
        CHECK(text_of(plain, calls("", arguments)) == R"(<assistant>[f {"city": "Oslo", "n": [1, 2]}])");
        CHECK(text_of(walk, calls("", arguments)) == "<city=Oslo><n=[1, 2]>");
        CHECK(text_of(as_text, calls("", arguments)) == "f" + text);
    }
    CHECK(text_of(plain, calls("", "")) == "<assistant>[f {}]");
    CHECK(text_of(plain, calls("", "not json")) == R"(<assistant>[f "not json"])");
}

TEST_CASE("messages: tools and documents that a template does not read are an error") {
    for (const char* key : {"tools", "documents"}) {
        CAPTURE(key);
        Given variables = {{"messages", user("a")}, {key, one({{"type", "function"}})}};
        CHECK(error_of(plain, variables).find(key) != std::string::npos);
        const auto read = rendered("{% if " + std::string(key) + " %}yes{% endif %}", variables);
        REQUIRE(read);
        CHECK(*read == "yes");
        for (const Given& nothing : {Given::array(), Given(nullptr)}) {
            variables[key] = nothing;
            CHECK(rendered(plain, variables));
        }
    }
}

TEST_CASE("messages: tool calls that a template does not read are an error") {
    const char* const deaf = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
    CHECK(error_of(deaf, {{"messages", calls("", "{}")}})
              .find("message 1: the chat template does not read \"tool_calls\"") != std::string::npos);
    for (const Given& nothing : {Given::array(), Given(nullptr)})
        CHECK(text_of(deaf, one({{"role", "assistant"}, {"content", "a"}, {"tool_calls", nothing}})) == "<assistant>a");
    // One that writes whole messages shows them without naming them.
    CHECK(text_of("{% for m in messages %}{{ m | tojson }}{% endfor %}", calls("", "{}")).find("tool_calls") !=
          std::string::npos);
}
