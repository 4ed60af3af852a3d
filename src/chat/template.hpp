// Chat templates: the Jinja subset that real templates use, rendered as Python's jinja2 does in transformers' settings.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.hpp"

namespace elver {

class ChatTemplate {
  public:
    static Result<ChatTemplate> parse(std::string source);
    // variables: messages, tools, documents, add_generation_prompt, bos_token, eos_token, now, ...
    Result<std::string> render(const nlohmann::ordered_json& variables) const;

  private:
    struct Impl;
    std::shared_ptr<const Impl> impl_;
};

}  // namespace elver
