// Prompts that requests become: BOS, and the template for tools.
#include "answer/request.hpp"

#include <nlohmann/json.hpp>

#include "engine/models.hpp"
#include "formats/gguf_writer.hpp"

using namespace elver;
using namespace elver::test;

namespace {

using Ids = std::vector<int32_t>;

// The tiny llama of the goldens with other metadata.
std::shared_ptr<Model> tiny(bool add_bos, const std::string& chat, const std::string& tool_use = {}) {
    auto source = ByteSource::map_path(tiny_path("llama"));
    REQUIRE(source);
    const auto file = Gguf::parse(*std::move(source));
    REQUIRE(file);
    GgufWriter writer;
    for (const auto& [key, value] : file->metadata()) {
        if (key != "tokenizer.ggml.add_bos_token") writer.copy(key, value);
    }
    writer.set_bool("tokenizer.ggml.add_bos_token", add_bos);
    writer.set_string("tokenizer.chat_template", chat);
    if (!tool_use.empty()) writer.set_string("tokenizer.chat_template.tool_use", tool_use);
    for (const GgufTensor& t : file->tensors()) writer.add_tensor(t.name, t.view.type, t.view.shape, t.view.bytes);
    const auto bytes = std::make_shared<std::vector<std::byte>>();
    auto written = writer.write_memory();
    REQUIRE(written);
    *bytes = *std::move(written);
    static std::vector<std::shared_ptr<std::vector<std::byte>>> kept;
    kept.push_back(bytes);
    auto model = Model::open(ByteSource::borrow(*bytes), {});
    REQUIRE_MESSAGE(model, message_of(model));
    return *model;
}

Ids chat_ids(const Model& model) {
    auto request = parse_chat_request(model, R"({"messages": [{"role": "user", "content": "the"}]})");
    REQUIRE_MESSAGE(request, message_of(request));
    return std::move(request->ids);
}
Ids completion_ids(const Model& model, const char* request) {
    auto parsed = parse_completion_request(model, request);
    REQUIRE_MESSAGE(parsed, message_of(parsed));
    return std::move(parsed->ids);
}

const std::string content = "{% for m in messages %}{{ m.content }}{% endfor %}";

}  // namespace

TEST_CASE("requests: BOS stands before a prompt once if the model asks for it") {
    const auto asks = tiny(true, content), does_not = tiny(false, content),
               writes = tiny(true, "{{ bos_token }}" + content),
               writes_unasked = tiny(false, "{{ bos_token }}" + content);
    const int32_t bos = *asks->tokenizer().vocab().bos, the = asks->tokenizer().find("the");
    REQUIRE(the >= 0);
    CHECK(chat_ids(*asks) == Ids{bos, the});
    CHECK(chat_ids(*writes) == Ids{bos, the});
    CHECK(chat_ids(*does_not) == Ids{the});
    CHECK(chat_ids(*writes_unasked) == Ids{bos, the});
    CHECK(completion_ids(*asks, R"({"prompt": "the"})") == Ids{bos, the});
    CHECK(completion_ids(*does_not, R"({"prompt": "the"})") == Ids{the});
    CHECK(completion_ids(*asks, R"({"prompt": "<|endoftext|>the", "special": true})") == Ids{bos, the});
    CHECK(completion_ids(*does_not, R"({"prompt": "<|endoftext|>the", "special": true})") == Ids{bos, the});
    CHECK(completion_ids(*asks, R"({"prompt": "<|endoftext|>the"})").size() > 2);
}

TEST_CASE("requests: tools take the template that the file names for them") {
    const std::string request =
        R"({"messages": [{"role": "user", "content": "the"}], "tools": [{"type": "function", "function": {"name": "f"}}]})";
    const auto without = parse_chat_request(*tiny(false, content), request);
    REQUIRE(!without);
    CHECK(without.error().message().find("tools") != std::string::npos);
    const auto model = tiny(false, content, "{{ tools[0].function.name }}" + content);
    const auto text = [&](const std::string& variables) {
        const auto rendered = render_template(model->templates(), &model->tokenizer(), variables);
        REQUIRE_MESSAGE(rendered, message_of(rendered));
        return *rendered;
    };
    CHECK(text(request) == "fthe");
    CHECK(text(R"({"messages": [{"role": "user", "content": "the"}], "tools": []})") == "the");
    CHECK(text(R"({"messages": [{"role": "user", "content": "the"}]})") == "the");
    const auto ids = parse_chat_request(*model, request);
    REQUIRE_MESSAGE(ids, message_of(ids));
    CHECK(ids->ids.size() == 2);
}

TEST_CASE("requests: what is wrong is named") {
    const auto model = load(smollm2_path(), 1);
    const auto message = [&](const char* json) {
        const auto request = parse_chat_request(*model, json);
        REQUIRE(!request);
        CHECK(request.error().status() == Status::invalid_argument);
        return std::string(request.error().message());
    };
    const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
    CHECK(has(message("{"), "JSON"));
    CHECK(has(message("[]"), "object"));
    CHECK(has(message("{}"), "messages"));
    CHECK(has(message(R"({"messages": 3})"), "messages"));
    CHECK(has(message(R"({"messages": [{"role": "user", "content": "a"}], "temprature": 1})"), "temprature"));
    CHECK(has(message(R"({"messages": [{"role": "user", "content": "a"}], "temperature": "hot"})"), "temperature"));
    CHECK(has(message(R"({"messages": [{"role": "user", "content": "a"}], "max_tokens": 1.5})"), "max_tokens"));
    const auto good =
        parse_chat_request(*model, R"({"messages": [{"role": "user", "content": "Hi"}], "temperature": 0})");
    REQUIRE(good);
    CHECK(good->options.sampler.temperature == 0.0f);
    const auto completion = parse_completion_request(*model, R"({"prompt": "The capital of France is"})");
    REQUIRE_MESSAGE(completion, message_of(completion));
    CHECK(completion->ids == std::vector<int32_t>{504, 3575, 282, 4649, 314});
    const auto both = parse_completion_request(*model, R"({"prompt": "a", "ids": [1]})");
    REQUIRE(!both);
    CHECK(has(both.error().message(), "ids"));
}
