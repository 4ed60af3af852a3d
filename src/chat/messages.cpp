#include "chat/messages.hpp"

#include <algorithm>
#include <utility>

#include "base/text.hpp"

namespace elver {
namespace {

Error wrong(size_t message, std::string_view what) {
    return Error(Status::invalid_argument, cat("messages: message ", message + 1, ": ", what), "messages");
}

// What a template makes of a conversation in one form or another is found out by rendering a short one: whether the
// words that must be there are, and nothing that shows that the form was not understood.
constexpr const char* word = "elverword";

Json user(Json content) {
    return Json::object({{"role", "user"}, {"content", std::move(content)}});
}
Json text_part(Json text) {
    return Json::array({Json::object({{"type", "text"}, {"text", std::move(text)}})});
}
Json caller(Json content, Json arguments) {
    Json function = Json::object({{"name", "elvercall"}, {"arguments", std::move(arguments)}});
    Json call = Json::object({{"id", "call00001"}, {"type", "function"}, {"function", std::move(function)}});
    return Json::object({{"role", "assistant"}, {"content", std::move(content)}, {"tool_calls", Json::array({call})}});
}
bool shows(const ChatTemplate& chat, Json messages, std::initializer_list<std::string_view> words,
           std::string_view never = {}) {
    Json variables;
    variables["messages"] = std::move(messages);
    const auto rendered = chat.render(variables, {"", ""});
    if (!rendered || (!never.empty() && rendered->text.find(never) != std::string::npos)) return false;
    return std::all_of(words.begin(), words.end(),
                       [&](std::string_view w) { return rendered->text.find(w) != std::string::npos; });
}

bool takes_parts(const ChatTemplate& chat) {
    return shows(chat, Json::array({user(text_part(word))}), {word}, "type");
}

// A template that takes nothing else.
bool wants_parts(const ChatTemplate& chat) {
    return chat.spells("type") && !shows(chat, Json::array({user(word)}), {word}) && takes_parts(chat);
}

// How a template wants the tool calls of a message.
struct CallForm {
    bool arguments_as_text, null_content;
    bool shown = true;  // whether the template shows them at all
};
CallForm call_form(const ChatTemplate& chat) {
    const Json mapping = Json::object({{word, "x"}}), text = mapping.dump();
    const auto works = [&](const Json& content, const Json& arguments) {
        return shows(chat, Json::array({user("x"), caller(content, arguments), user("x")}), {"elvercall", word});
    };
    for (const bool null_content : {false, true}) {
        const Json content = null_content ? Json() : Json("");
        if (works(content, mapping)) return {false, null_content};
        if (works(content, text)) return {true, null_content};
    }
    return {false, false, chat.spells("tool_calls")};
}

// The text of a content that is a list of parts.
Result<std::string> joined(size_t message, const Json& parts) {
    std::string out;
    for (size_t i = 0; i < parts.size(); ++i) {
        const Json *type = parts.items()[i].find("type"), *text = parts.items()[i].find("text");
        if (type == nullptr || !type->is_string())
            return wrong(message, cat("part ", i + 1, " of the content: expected an object with a \"type\""));
        if (!type->is("text"))
            return wrong(message, cat("part ", i + 1, " of the content is of type ", in_quotes(type->text()),
                                      "; only text is supported"));
        if (text == nullptr || !text->is_string())
            return wrong(message, cat("part ", i + 1, " of the content: expected a \"text\" that is a string"));
        out += text->text();
    }
    return out;
}

class Preparer {
  public:
    explicit Preparer(const ChatTemplate& chat) : chat_(chat) {}

    Result<void> prepare(size_t i, Json& message) {
        if (message["role"].is("developer") && !chat_.spells("developer")) message["role"] = "system";
        if (auto done = content(i, message); !done) return done;
        Json* const calls = message.find("tool_calls");
        if (calls == nullptr) return {};
        if (calls->is_null() || (calls->is_array() && calls->empty()))
            return message.erase("tool_calls"), Result<void>();
        if (!calls->is_array()) return wrong(i, "tool_calls: expected a list");
        if (!std::exchange(knows_form_, true)) form_ = call_form(chat_);
        if (!form_.shown)
            return Error(Status::unsupported,
                         cat("messages: message ", i + 1,
                             ": the chat template does not read \"tool_calls\", so the model would not see them"),
                         "messages");
        for (Json& call : calls->items()) arguments(call);
        if (form_.null_content && message["content"].is("")) message["content"] = Json();
        return {};
    }

  private:
    Result<void> content(size_t i, Json& message) {
        Json& content = message["content"];
        if (content.is_null()) content = "";
        if (content.is_string()) {
            if (!std::exchange(knows_wish_, true)) wants_parts_ = wants_parts(chat_);
            if (wants_parts_) content = text_part(content);
            return {};
        }
        if (!content.is_array())
            return wrong(i, cat("content: expected a string, null or a list of parts, found a ", content.type_name()));
        auto text = joined(i, content);
        if (!text) return std::move(text).error();
        if (!std::exchange(knows_taken_, true)) takes_parts_ = takes_parts(chat_);
        if (!takes_parts_ || content.empty()) content = *std::move(text);
        return {};
    }

    void arguments(Json& call) const {
        if (!call.is_object()) return;
        Json* const function = call.find("function");
        Json* const arguments = (function != nullptr && function->is_object() ? *function : call).find("arguments");
        if (arguments == nullptr) return;
        if (form_.arguments_as_text) {
            if (!arguments->is_string()) *arguments = arguments->dump();
            return;
        }
        if (!arguments->is_string()) return;
        const bool blank = arguments->text().find_first_not_of(" \t\r\n") == std::string::npos;
        auto parsed = parse_json(blank ? "{}" : arguments->text(), "arguments");
        if (parsed && parsed->is_object()) *arguments = *std::move(parsed);  // a model may have written what is no JSON
    }

    const ChatTemplate& chat_;
    // Asked of the template once, when the first message needs it.
    bool knows_taken_ = false, takes_parts_ = false;
    bool knows_wish_ = false, wants_parts_ = false;
    bool knows_form_ = false;
    CallForm form_{};
};

}  // namespace

Result<void> prepare_messages(const ChatTemplate& chat, Json& variables) {
    for (const char* key : {"tools", "documents"}) {
        Json* const list = variables.find(key);
        if (list == nullptr) continue;
        if (list->is_array() && list->empty()) *list = Json();
        if (!list->is_null() && !chat.reads(key))
            return Error(Status::unsupported,
                         cat("the chat template does not read ", in_quotes(key), ", so the model would not see them"),
                         key);
    }
    Json* const messages = variables.find("messages");
    if (messages == nullptr || !messages->is_array()) return {};
    Preparer preparer(chat);
    for (size_t i = 0; i < messages->size(); ++i) {
        Json& message = messages->items()[i];
        if (message.find("role") == nullptr) continue;
        if (auto done = preparer.prepare(i, message); !done) return done;
    }
    return {};
}

}  // namespace elver
