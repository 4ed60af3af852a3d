// Requests in JSON, shaped as the OpenAI API, to what the engine takes. Unknown keys and wrong types are errors that
// name the key.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "answer/generate.hpp"

namespace elver {

struct Request {
    std::vector<int32_t> ids;  // the prompt
    GenerateOptions options;
};

// {"messages": [...], ...}: rendered through the model's chat template. Control tokens come from the template's own
// text only. In both requests BOS stands before the prompt, once, if the model asks for it.
Result<Request> parse_chat_request(const Model& model, std::string_view json);
// {"prompt": "..."} or {"ids": [...]}. The prompt is text, in which control tokens are not looked for, unless "special"
// is true.
Result<Request> parse_completion_request(const Model& model, std::string_view json);
// Renders a model's template, that for tools if the variables hold tools; bos_token and eos_token are the tokenizer's
// unless given. The messages are prepared as those of a chat request are (chat/messages.hpp).
Result<std::string> render_template(const ModelTemplates& templates, const Tokenizer* tokenizer,
                                    std::string_view variables);
// Renders a template in the same way.
Result<std::string> render_template(const ChatTemplate& chat, const Tokenizer* tokenizer, std::string_view variables);

}  // namespace elver
