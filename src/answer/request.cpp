#include "answer/request.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/text.hpp"
#include "base/utf8.hpp"

namespace elver {

namespace {

using Json = nlohmann::ordered_json;

Error wrong(std::string_view key, std::string_view expected, const Json& found) {
    std::string shown = found.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (shown.size() > 60)
        shown = shown.substr(0, 60 - incomplete_utf8_suffix(std::string_view(shown).substr(0, 60))) + "...";
    return Error(Status::invalid_argument,
                 cat("request: key ", in_quotes(key), ": expected ", expected, ", found ", shown), std::string(key));
}

// Takes nothing, and keeps where a text stops being JSON.
struct FirstError : nlohmann::json_sax<Json> {
    size_t at = 0;
    bool null() override { return true; }
    bool boolean(bool) override { return true; }
    bool number_integer(int64_t) override { return true; }
    bool number_unsigned(uint64_t) override { return true; }
    bool number_float(double, const std::string&) override { return true; }
    bool string(std::string&) override { return true; }
    bool binary(Json::binary_t&) override { return true; }
    bool start_object(size_t) override { return true; }
    bool key(std::string&) override { return true; }
    bool end_object() override { return true; }
    bool start_array(size_t) override { return true; }
    bool end_array() override { return true; }
    bool parse_error(size_t position, const std::string&, const Json::exception&) override {
        at = position;
        return false;
    }
};

Error not_json(std::string_view text, std::string_view what) {
    FirstError error;
    Json::sax_parse(text, &error);
    const size_t from = error.at > 20 ? error.at - 20 : 0;
    return Error(Status::invalid_argument,
                 cat(what, ": not valid JSON at byte ", error.at, ", near ", in_quotes(text.substr(from, 40))),
                 std::string(what));
}

Result<Json> parse_object(std::string_view text, std::string_view what) {
    // A nesting limit keeps hostile text from exhausting the stack.
    int depth = 0;
    bool too_deep = false;
    const auto guard = [&](int, Json::parse_event_t event, Json&) {
        if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start)
            too_deep |= ++depth > 200;
        if (event == Json::parse_event_t::object_end || event == Json::parse_event_t::array_end) --depth;
        return !too_deep;
    };
    Json json = Json::parse(text, guard, false);
    if (too_deep) return Error(Status::invalid_argument, cat(what, ": nested more than 200 deep"), std::string(what));
    if (json.is_discarded()) return not_json(text, what);
    if (!json.is_object())
        return Error(Status::invalid_argument, cat(what, ": expected a JSON object, found ", in_quotes(text)),
                     std::string(what));
    return json;
}

// One key of a request: reads its value into the options, or says what was expected.
struct Key {
    const char* name;
    const char* expected;
    bool (*read)(const Json& value, Request& request);
};

bool number(const Json& v, float& out) {
    if (!v.is_number() || !std::isfinite(v.get<double>())) return false;
    out = v.get<float>();
    return true;
}
bool integer(const Json& v, int32_t& out) {
    // Unsigned numbers beyond int64's range would wrap to small ones.
    if (!v.is_number_integer() || (v.is_number_unsigned() && v.get<uint64_t>() > INT32_MAX)) return false;
    if (v.get<int64_t>() < INT32_MIN || v.get<int64_t>() > INT32_MAX) return false;
    out = v.get<int32_t>();
    return true;
}
bool read_max_tokens(const Json& v, Request& r) {
    return integer(v, r.options.max_tokens) && r.options.max_tokens >= 0;
}
bool read_stop(const Json& v, Request& r) {
    if (v.is_string()) return r.options.stop.push_back(v.get<std::string>()), true;
    if (!v.is_array()) return false;
    for (const Json& s : v) {
        if (!s.is_string()) return false;
        r.options.stop.push_back(s.get<std::string>());
    }
    return true;
}
bool read_logit_bias(const Json& v, Request& r) {
    if (!v.is_object()) return false;
    for (const auto& [id, bias] : v.items()) {
        float value = 0;
        if (id.empty() || id.size() > 9 || id.find_first_not_of("0123456789") != std::string::npos ||
            !number(bias, value))
            return false;
        r.options.sampler.logit_bias.emplace_back(std::stoi(id), value);
    }
    return true;
}

const Key keys[] = {
    {"temperature", "a number", [](const Json& v, Request& r) { return number(v, r.options.sampler.temperature); }},
    {"top_p", "a number", [](const Json& v, Request& r) { return number(v, r.options.sampler.top_p); }},
    {"min_p", "a number", [](const Json& v, Request& r) { return number(v, r.options.sampler.min_p); }},
    {"top_k", "an integer", [](const Json& v, Request& r) { return integer(v, r.options.sampler.top_k); }},
    {"repetition_penalty", "a number",
     [](const Json& v, Request& r) { return number(v, r.options.sampler.repetition_penalty); }},
    {"presence_penalty", "a number",
     [](const Json& v, Request& r) { return number(v, r.options.sampler.presence_penalty); }},
    {"frequency_penalty", "a number",
     [](const Json& v, Request& r) { return number(v, r.options.sampler.frequency_penalty); }},
    {"logit_bias", "an object of token ids and numbers", read_logit_bias},
    {"max_tokens", "an integer of 0 or more", read_max_tokens},
    {"max_completion_tokens", "an integer of 0 or more", read_max_tokens},
    {"stop", "a string or a list of strings", read_stop},
    {"seed", "an integer of 0 or more",
     [](const Json& v, Request& r) {
         return v.is_number_unsigned() && (r.options.sampler.seed = v.get<uint64_t>(), true);
     }},
    {"logprobs", "true or false",
     [](const Json& v, Request& r) {
         return v.is_boolean() &&
                (r.options.top_logprobs = v.get<bool>() ? std::max(r.options.top_logprobs, 0) : -1, true);
     }},
    {"top_logprobs", "an integer from 0 to 20",
     [](const Json& v, Request& r) {
         return integer(v, r.options.top_logprobs) && r.options.top_logprobs >= 0 && r.options.top_logprobs <= 20;
     }},
    {"ignore_eos", "true or false",
     [](const Json& v, Request& r) { return v.is_boolean() && (r.options.ignore_end = v.get<bool>(), true); }},
    {"stream", "true or false", [](const Json& v, Request&) { return v.is_boolean(); }},
    {"n", "1", [](const Json& v, Request&) { return v.is_number_integer() && v.get<int64_t>() == 1; }},
    {"user", "a string", [](const Json& v, Request&) { return v.is_string(); }},
    {"model", "a string", [](const Json& v, Request&) { return v.is_string(); }},
    {"response_format", "{\"type\": \"text\"}",
     [](const Json& v, Request&) {
         return v.is_object() && v.size() == 1 && v.contains("type") && v["type"] == "text";
     }},
};

// Reads every key but those of `own`, which the caller reads, and checks what was read.
Result<void> read_keys(const Model& model, const Json& json, std::initializer_list<std::string_view> own,
                       Request& request) {
    for (const auto& [name, value] : json.items()) {
        if (std::find(own.begin(), own.end(), name) != own.end()) continue;
        const Key* key =
            std::find_if(std::begin(keys), std::end(keys), [&, &n = name](const Key& k) { return n == k.name; });
        if (key == std::end(keys))
            return Error(Status::invalid_argument, cat("request: unknown key ", in_quotes(name)), name);
        if (!value.is_null() && !key->read(value, request)) return wrong(name, key->expected, value);
    }
    return check_options(request.options, model.spec().n_vocab);
}

Result<void> check_messages(const Json& json) {
    const auto messages = json.find("messages");
    if (messages == json.end())
        return Error(Status::invalid_argument, "request: key \"messages\" is missing", "messages");
    if (!messages->is_array() || messages->empty()) return wrong("messages", "a list of messages", *messages);
    for (const Json& m : *messages) {
        if (!m.is_object() || !m.contains("role") || !m["role"].is_string())
            return wrong("messages", "objects with a role", m);
    }
    for (const char* key : {"tools", "documents"}) {
        if (json.contains(key) && !json[key].is_null() && !json[key].is_array()) return wrong(key, "a list", json[key]);
    }
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
    if (auto read = read_keys(model, *json, {"messages", "tools", "documents"}, request); !read)
        return std::move(read).error();
    if (auto checked = check_messages(*json); !checked) return std::move(checked).error();
    const auto chat = model.chat_template();
    if (!chat) return chat.error();
    Json variables;
    for (const char* key : {"messages", "tools", "documents"}) {
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
    if (auto read = read_keys(model, *json, {"prompt", "ids"}, request); !read) return std::move(read).error();
    if (json->contains("prompt") == json->contains("ids"))
        return Error(Status::invalid_argument, "request: expected one of the keys \"prompt\" and \"ids\"", "prompt");
    if (json->contains("prompt")) {
        const Json& prompt = (*json)["prompt"];
        if (!prompt.is_string()) return wrong("prompt", "a string", prompt);
        auto ids = model.tokenizer().encode(prompt.get_ref<const std::string&>());
        if (!ids) return std::move(ids).error();
        request.ids = *std::move(ids);
        return request;
    }
    const Json& ids = (*json)["ids"];
    if (!ids.is_array()) return wrong("ids", "a list of token ids", ids);
    for (const Json& id : ids) {
        int32_t value = 0;
        if (!integer(id, value)) return wrong("ids", "a list of token ids", id);
        request.ids.push_back(value);
    }
    return request;
}

}  // namespace elver
