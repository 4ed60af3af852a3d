#include "answer/request.hpp"

#include <optional>

#include "answer/request_keys.hpp"
#include "base/text.hpp"
#include "chat/messages.hpp"

namespace elver {

namespace {

// The value of a key; null where it is not there or asks for nothing.
const Json* given(const Json& object, std::string_view key) {
    const Json* value = object.find(key);
    return value == nullptr || value->is_null() ? nullptr : value;
}

Result<void> check_messages(const Json& json) {
    const Json* messages = json.find("messages");
    if (messages == nullptr) return Error(Status::invalid_argument, "request: key \"messages\" is missing", "messages");
    if (!messages->is_array() || messages->empty()) return wrong_value("messages", "a list of messages", *messages);
    for (const Json& m : messages->items()) {
        const Json* role = m.find("role");
        if (role == nullptr || !role->is_string()) return wrong_value("messages", "objects with a role", m);
    }
    for (const char* key : {"tools", "documents"}) {
        const Json* list = given(json, key);
        if (list != nullptr && !list->is_array()) return wrong_value(key, "a list", *list);
    }
    if (const Json* variables = given(json, "chat_template_kwargs")) {
        if (!variables->is_object())
            return wrong_value("chat_template_kwargs", "an object of template variables", *variables);
        for (const char* key : {"messages", "tools", "documents", "add_generation_prompt"}) {
            if (variables->find(key) != nullptr)
                return Error(Status::invalid_argument,
                             cat("request: key \"chat_template_kwargs\": ", in_quotes(key), " is no variable of it"),
                             "chat_template_kwargs");
        }
    }
    const Json* effort = given(json, "reasoning_effort");
    if (effort != nullptr && !effort->is_string())
        return wrong_value("reasoning_effort", "a string, which the template reads", *effort);
    return {};
}

std::string token_text(const Tokenizer& tokenizer, std::optional<int32_t> id) {
    return id ? std::string(tokenizer.vocab().token(*id).text) : std::string();
}

Result<Rendered> render(const Tokenizer* tokenizer, const ChatTemplate& chat, Json variables) {
    if (auto prepared = prepare_messages(chat, variables); !prepared) return std::move(prepared).error();
    TemplateTokens tokens;
    if (tokenizer != nullptr) {
        tokens.bos = token_text(*tokenizer, tokenizer->vocab().bos);
        tokens.eos = token_text(*tokenizer, tokenizer->vocab().eos);
    }
    return chat.render(variables, tokens);
}

Result<std::string> text_of(Result<Rendered> rendered) {
    if (!rendered) return std::move(rendered).error();
    return std::move(rendered->text);
}

bool has_tools(const Json& variables) {
    const Json* tools = variables.find("tools");
    return tools != nullptr && !tools->empty();
}

// The model's BOS stands before a prompt once: whether the text spells it or not.
void begin_once(const Tokenizer& tokenizer, std::vector<int32_t>& ids) {
    const auto bos = tokenizer.adds_bos();
    if (!bos) return;
    if (ids.empty() || ids[0] != *bos) ids.insert(ids.begin(), *bos);
    if (ids.size() > 1 && ids[1] == *bos) ids.erase(ids.begin());
}

}  // namespace

Result<std::string> render_template(const ModelTemplates& templates, const Tokenizer* tokenizer,
                                    std::string_view text) {
    auto variables = parse_object(text, "variables");
    if (!variables) return std::move(variables).error();
    const auto chat = templates.choose(has_tools(*variables));
    if (!chat) return chat.error();
    return text_of(render(tokenizer, **chat, *std::move(variables)));
}

Result<std::string> render_template(const ChatTemplate& chat, const Tokenizer* tokenizer, std::string_view text) {
    auto variables = parse_object(text, "variables");
    if (!variables) return std::move(variables).error();
    return text_of(render(tokenizer, chat, *std::move(variables)));
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
    Json variables = Json::object();
    if (const Json* more = given(*json, "chat_template_kwargs")) variables = *more;
    if (const Json* effort = given(*json, "reasoning_effort")) variables["reasoning_effort"] = *effort;
    const Json* choice = json->find("tool_choice");
    const bool no_tools = choice != nullptr && choice->is("none");
    for (const std::string_view key : {"messages", "tools", "documents"}) {
        Json* const value = json->find(key);
        if (value != nullptr && !(no_tools && key == "tools")) variables[key] = std::move(*value);
    }
    variables["add_generation_prompt"] = true;
    const auto chat = model.templates().choose(has_tools(variables));
    if (!chat) return chat.error();
    const auto prompt = render(&model.tokenizer(), **chat, std::move(variables));
    if (!prompt) return prompt.error();
    auto ids =
        model.tokenizer().encode(prompt->text, {.add_special = false, .parse_special = true, .typed = &prompt->typed});
    if (!ids) return std::move(ids).error();
    request.ids = *std::move(ids);
    begin_once(model.tokenizer(), request.ids);
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
    const Json *prompt = json->find("prompt"), *ids = json->find("ids"), *special = given(*json, "special");
    if ((prompt == nullptr) == (ids == nullptr))
        return Error(Status::invalid_argument, "request: expected one of the keys \"prompt\" and \"ids\"", "prompt");
    if (special != nullptr && !special->is_boolean()) return wrong_value("special", "true or false", *special);
    if (prompt != nullptr) {
        if (!prompt->is_string()) return wrong_value("prompt", "a string", *prompt);
        const bool reads_special = special != nullptr && special->boolean();
        auto encoded = model.tokenizer().encode(prompt->text(), {.parse_special = reads_special});
        if (!encoded) return std::move(encoded).error();
        request.ids = *std::move(encoded);
        begin_once(model.tokenizer(), request.ids);
        return request;
    }
    if (!ids->is_array()) return wrong_value("ids", "a list of token ids", *ids);
    for (const Json& id : ids->items()) {
        int32_t value = 0;
        if (!read_integer(id, value)) return wrong_value("ids", "a list of token ids", id);
        request.ids.push_back(value);
    }
    return request;
}

}  // namespace elver
