// Every wrong request is an error that names the key, what was expected and what was found, and changes nothing.
#include <string>
#include <vector>

#include "handles.hpp"

using namespace capi_test;

namespace {

struct Row {
    std::string request;
    elver_status status;
    std::vector<std::string> names;  // in the message
};

std::string nested(int depth) {
    return R"({"messages": )" + std::string(static_cast<size_t>(depth), '[') +
           std::string(static_cast<size_t>(depth), ']') + "}";
}

}  // namespace

TEST_CASE("requests: what is wrong in a completion is named") {
    const auto model = load(path_source(tiny_path()));
    const auto s = session(model.get());
    const auto bad = ELVER_INVALID_ARGUMENT;
    const auto with = [](const std::string& pair) { return R"({"ids": [1], )" + pair + "}"; };
    const Row rows[] = {
        {"", bad, {"not valid JSON", "byte 1"}},
        {"{", bad, {"not valid JSON", "byte 2"}},
        {R"({"prompt": "a",})", bad, {"not valid JSON", "byte 16", "near"}},
        {std::string("{\"prompt\": \"\xff\"}"), bad, {"not valid JSON", "\\xff"}},
        {std::string("{\"prompt\": \"a\0b\"}", 16), bad, {"not valid JSON", "\\x00"}},
        {"[1]", bad, {"expected a JSON object"}},
        {"null", bad, {"expected a JSON object"}},
        {"{}", bad, {"\"prompt\"", "\"ids\""}},
        {R"({"prompt": "a", "ids": [1]})", bad, {"one of the keys"}},
        {R"({"prompt": 7})", bad, {"\"prompt\"", "expected a string", "found 7"}},
        {R"({"ids": "1,2"})", bad, {"\"ids\"", "list of token ids", "found \"1,2\""}},
        {R"({"ids": []})", bad, {"no tokens"}},
        {R"({"ids": [1, 61]})", bad, {"token 1", "0 to 60", "found 61"}},
        {R"({"ids": [-1]})", bad, {"token 0", "found -1"}},
        {R"({"ids": [4294967297]})", bad, {"\"ids\"", "found 4294967297"}},
        {R"({"ids": [18446744073709551615]})", bad, {"\"ids\"", "found 18446744073709551615"}},
        {R"({"ids": [1.5]})", bad, {"\"ids\"", "found 1.5"}},
        {R"({"ids": [true]})", bad, {"\"ids\"", "found true"}},
        {R"({"prompt": ""})", bad, {"no tokens"}},
        {with(R"("temprature": 1)"), bad, {"unknown key \"temprature\""}},
        {with(R"("messages": [])"), bad, {"unknown key \"messages\""}},
        {with(R"("temperature": "hot")"), bad, {"\"temperature\"", "a number", "found \"hot\""}},
        {with(R"("temperature": -1)"), bad, {"temperature", "found -1"}},
        {with(R"("temperature": 1e9)"), bad, {"temperature", "found 1e+09"}},
        {with(R"("top_p": 1.5)"), bad, {"top_p", "found 1.5"}},
        {with(R"("min_p": -0.1)"), bad, {"min_p"}},
        {with(R"("top_k": -2)"), bad, {"top_k", "found -2"}},
        {with(R"("top_k": 18446744073709551615)"), bad, {"top_k", "found 18446744073709551615"}},
        {with(R"("top_k": 2.5)"), bad, {"top_k", "an integer", "found 2.5"}},
        {with(R"("max_tokens": -2)"), bad, {"max_tokens", "found -2"}},
        {with(R"("max_tokens": 3000000000)"), bad, {"max_tokens", "found 3000000000"}},
        {with(R"("seed": 1.5)"), bad, {"seed", "found 1.5"}},
        {with(R"("seed": "x")"), bad, {"seed", "found \"x\""}},
        {with(R"("stop": [1])"), bad, {"stop", "found [1]"}},
        {with(R"("stop": "")"), bad, {"stop", "not empty"}},
        {with(R"("stop": {})"), bad, {"stop"}},
        {with(R"("logit_bias": {"61": 1})"), bad, {"logit_bias", "0 to 60", "found 61"}},
        {with(R"("logit_bias": {"x": 1})"), bad, {"logit_bias"}},
        {with(R"("logit_bias": {"1": "x"})"), bad, {"logit_bias"}},
        {with(R"("logit_bias": [1])"), bad, {"logit_bias", "found [1]"}},
        {with(R"("repetition_penalty": 0)"), bad, {"repetition_penalty"}},
        {with(R"("presence_penalty": 1e300)"), bad, {"presence_penalty"}},
        {with(R"("logprobs": 21)"), bad, {"logprobs", "true or false"}},
        {with(R"("top_logprobs": 21)"), bad, {"top_logprobs", "0 to 20", "found 21"}},
        {with(R"("n": 2)"), bad, {"\"n\"", "expected 1", "found 2"}},
        {with(R"("stream": "yes")"), bad, {"stream"}},
        {with(R"("response_format": {"type": "yaml"})"), bad, {"response_format", "yaml"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.request);
        const Failure f =
            failure([&](elver_error** e) { return begin_completion(s.get(), row.request, nullptr, nullptr, e); });
        CHECK(f.status == row.status);
        for (const std::string& name : row.names) CHECK_MESSAGE(contains(f.message, name), f.message);
        CHECK(elver_session_position(s.get()) == 0);
    }
    std::string long_ids = "[1";
    for (int i = 0; i < 64; ++i) long_ids += ",1";
    const std::string request = R"({"ids": )" + long_ids + "]}";
    const Failure f = failure([&](elver_error** e) { return begin_completion(s.get(), request, nullptr, nullptr, e); });
    CHECK(f.status == ELVER_CONTEXT_FULL);
    CHECK(contains(f.message, "65 tokens"));
    CHECK(contains(f.message, "64 positions"));
}

TEST_CASE("requests: what is wrong in a conversation is named") {
    const Bytes bytes = tiny_with_template();
    const auto model = load(memory_source(bytes));
    const auto s = session(model.get());
    const auto bad = ELVER_INVALID_ARGUMENT;
    const Row rows[] = {
        {"{}", bad, {"\"messages\" is missing"}},
        {R"({"messages": []})", bad, {"\"messages\"", "found []"}},
        {R"({"messages": {"role": "user"}})", bad, {"\"messages\"", "a list"}},
        {R"({"messages": ["hello"]})", bad, {"\"messages\"", "objects with a role", "hello"}},
        {R"({"messages": [{"content": "hello"}]})", bad, {"\"messages\"", "role"}},
        {R"({"messages": [{"role": 1, "content": "hello"}]})", bad, {"\"messages\"", "role"}},
        {R"({"messages": [{"role": "user", "content": "a"}], "tools": {}})", bad, {"\"tools\"", "a list", "found {}"}},
        {R"({"messages": [{"role": "user", "content": "a"}], "documents": 1})", bad, {"\"documents\"", "found 1"}},
        {R"({"messages": [{"role": "user", "content": "a"}], "prompt": "a"})", bad, {"unknown key \"prompt\""}},
        {nested(300), bad, {"nested more than 200 deep"}},
        {nested(100000), bad, {"nested more than 200 deep"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.request.substr(0, 200));
        const Failure f = failure([&](elver_error** e) {
            return elver_session_chat(s.get(), row.request.data(), row.request.size(), nullptr, e);
        });
        CHECK(f.status == row.status);
        for (const std::string& name : row.names) CHECK_MESSAGE(contains(f.message, name), f.message);
        CHECK(elver_session_position(s.get()) == 0);
    }
    const std::string good = R"({"messages": [{"role": "user", "content": "be"}], "tools": null, "stop": null})";
    CHECK(elver_session_chat(s.get(), good.data(), good.size(), nullptr, nullptr) == ELVER_OK);

    const auto without = load(path_source(tiny_path()));
    const Failure f = failure([&](elver_error** e) {
        return elver_session_chat(session(without.get()).get(), good.data(), good.size(), nullptr, e);
    });
    CHECK(f.status == ELVER_UNSUPPORTED);
    CHECK(contains(f.message, "tokenizer.chat_template"));
}

TEST_CASE("templates: an error names what is wrong and where") {
    elver_text* text = nullptr;
    const auto render = [&](const std::string& source, const std::string& variables) {
        return failure([&](elver_error** e) {
            return elver_tokenizer_render(nullptr, source.data(), source.size(), variables.data(), variables.size(),
                                          &text, e);
        });
    };
    CHECK(contains(render("{{ a }}\n{% unknown %}", "{}").message, "line 2"));
    CHECK(contains(render("{{ a }}", "[]").message, "JSON object"));
    CHECK(contains(render("{{ raise_exception('no such role') }}", "{}").message, "no such role"));
    REQUIRE(render("{{ a }}!", R"({"a": "hi"})").status == ELVER_OK);
    const Own<elver_text> owned(text);
    CHECK(std::string(elver_text_data(text)) == "hi!");
}

TEST_CASE("templates: another template is rendered with a vocabulary's own tokens") {
    const auto model = open(path_source(tiny_path()));
    elver_tokenizer* raw = nullptr;
    REQUIRE(elver_model_tokenizer(model.get(), &raw, nullptr) == ELVER_OK);
    const Own<elver_tokenizer> tokenizer(raw);
    const auto render = [&](const elver_tokenizer* t, const std::string& variables) {
        const std::string source = "[{{ bos_token }}{{ eos_token }}]";
        elver_text* text = nullptr;
        REQUIRE(elver_tokenizer_render(t, source.data(), source.size(), variables.data(), variables.size(), &text,
                                       nullptr) == ELVER_OK);
        const Own<elver_text> owned(text);
        return std::string(elver_text_data(text));
    };
    CHECK(render(nullptr, "{}") == "[]");
    CHECK(render(tokenizer.get(), "{}") == "[<|endoftext|><|endoftext|>]");
    CHECK(render(tokenizer.get(), R"({"eos_token": "."})") == "[<|endoftext|>.]");
}
