#include "answer/request.hpp"

#include <nlohmann/json.hpp>
#include <optional>

#include "answer/request_keys.hpp"
#include "base/text.hpp"

namespace elver {

namespace {

using Json = nlohmann::ordered_json;

Result<void> check_messages(const Json& json) {
    const auto messages = json.find("messages");
    if (messages == json.end())
        return Error(Status::invalid_argument, "request: key \"messages\" is missing", "messages");
    if (!messages->is_array() || messages->empty()) return wrong_value("messages", "a list of messages", *messages);
    for (const Json& m : *messages) {
        if (!m.is_object() || !m.contains("role") || !m["role"].is_string())
            return wrong_value("messages", "objects with a role", m);
    }
    for (const char* key : {"tools", "documents"}) {
        if (json.contains(key) && !json[key].is_null() && !json[key].is_array())
            return wrong_value(key, "a list", json[key]);
    }
    const auto given = json.find("chat_template_kwargs");
    if (given != json.end() && !given->is_null()) {
        if (!given->is_object()) return wrong_value("chat_template_kwargs", "an object of template variables", *given);
        for (const char* key : {"messages", "tools", "documents", "add_generation_prompt"}) {
            if (given->contains(key))
                return Error(Status::invalid_argument,
                             cat("request: key \"chat_template_kwargs\": ", in_quotes(key), " is no variable of it"),
                             "chat_template_kwargs");
        }
    }
    const auto effort = json.find("reasoning_effort");
    if (effort != json.end() && !effort->is_null() && !effort->is_string())
        return wrong_value("reasoning_effort", "a string, which the template reads", *effort);
    return {};
}

std::string token_text(const Tokenizer& tokenizer, std::optional<int32_t> id) {
    return id ? std::string(tokenizer.vocab().token(*id).text) : std::string();
}

Result<std::string> render(const Tokenizer* tokenizer, const ChatTemplate& chat, Json variables) {
    if (tokenizer != nullptr) {
        const Vocab& vocab = tokenizer->vocab();
        if (!variables.contains("bos_token")) variables["bos_token"] = token_text(*tokenizer, vocab.bos);
        if (!variables.contains("eos_token")) variables["eos_token"] = token_text(*tokenizer, vocab.eos);
    }
    return chat.render(variables);
}

}  // namespace

Result<std::string> render_template(const ChatTemplate& chat, const Tokenizer* tokenizer, std::string_view text) {
    auto variables = parse_object(text, "variables");
    if (!variables) return std::move(variables).error();
    return render(tokenizer, chat, *std::move(variables));
}

Result<std::string> render_template(const Model* model, std::string_view source, std::string_view variables) {
    const Tokenizer* tokenizer = model == nullptr ? nullptr : &model->tokenizer();
    if (!source.empty() || model == nullptr) {
        const auto chat = ChatTemplate::parse(std::string(source));
        if (!chat) return chat.error();
        return render_template(*chat, tokenizer, variables);
    }
    const auto chat = model->chat_template();
    if (!chat) return chat.error();
    return render_template(**chat, tokenizer, variables);
}

Result<Request> parse_chat_request(const Model& model, std::string_view text) {
    auto json = parse_object(text, "request");
    if (!json) return std::move(json).error();
    Request request;
    auto options =
        read_options(model, *json, {"messages", "tools", "documents", "chat_template_kwargs", "reasoning_effort"});
    if (!options) return std::move(options).error();
    request.options = *std::move(options);
    if (auto checked = check_messages(*json); !checked) return std::move(checked).error();
    const auto chat = model.chat_template();
    if (!chat) return chat.error();
    Json variables = Json::object();
    const auto asks_for = [&](const char* key) { return json->contains(key) && !(*json)[key].is_null(); };
    if (asks_for("chat_template_kwargs")) variables = (*json)["chat_template_kwargs"];
    if (asks_for("reasoning_effort")) variables["reasoning_effort"] = (*json)["reasoning_effort"];
    for (const char* key : {"messages", "tools", "documents"}) {
        if (key == std::string_view("tools") && json->value("tool_choice", Json()) == "none") continue;
        if (json->contains(key)) variables[key] = (*json)[key];
    }
    variables["add_generation_prompt"] = true;
    const auto prompt = render(&model.tokenizer(), **chat, std::move(variables));
    if (!prompt) return prompt.error();
    // The template writes the special tokens itself.
    auto ids = model.tokenizer().encode(*prompt, {.add_special = false, .parse_special = true});
    if (!ids) return std::move(ids).error();
    request.ids = *std::move(ids);
    return request;
}

Result<Request> parse_completion_request(const Model& model, std::string_view text) {
    auto json = parse_object(text, "request");
    if (!json) return std::move(json).error();
    Request request;
    auto options = read_options(model, *json, {"prompt", "ids", "special"});
    if (!options) return std::move(options).error();
    request.options = *std::move(options);
    request.options.continues = true;
    if (json->contains("prompt") == json->contains("ids"))
        return Error(Status::invalid_argument, "request: expected one of the keys \"prompt\" and \"ids\"", "prompt");
    const Json special = json->value("special", Json());
    if (!special.is_null() && !special.is_boolean()) return wrong_value("special", "true or false", special);
    if (json->contains("prompt")) {
        const Json& prompt = (*json)["prompt"];
        if (!prompt.is_string()) return wrong_value("prompt", "a string", prompt);
        // What people type is text: control tokens only where the request asks for them.
        auto ids = model.tokenizer().encode(prompt.get_ref<const std::string&>(), {.parse_special = special == true});
        if (!ids) return std::move(ids).error();
        request.ids = *std::move(ids);
        return request;
    }
    const Json& ids = (*json)["ids"];
    if (!ids.is_array()) return wrong_value("ids", "a list of token ids", ids);
    for (const Json& id : ids) {
        int32_t value = 0;
        if (!read_integer(id, value)) return wrong_value("ids", "a list of token ids", id);
        request.ids.push_back(value);
    }
    return request;
}

}  // namespace elver
