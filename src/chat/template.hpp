// Chat templates: the part of Jinja that real templates use, rendered as Python's jinja2 does in transformers' settings
// (immutable sandbox, trim_blocks, lstrip_blocks, loop controls). The engine is in jinja/; a template is hostile
// content, so its steps, memory and depth are bounded. Source: the Jinja "Template Designer Documentation".
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.hpp"

namespace elver {

// Immutable; copies share one tree, and threads may render at once.
class ChatTemplate {
  public:
    // Fails with bad_file for broken syntax and unsupported for what elver does not run, naming it and its line.
    static Result<ChatTemplate> parse(std::string source);

    // variables: an object with messages, tools, documents, add_generation_prompt, bos_token, eos_token and what else
    // the template reads. tools and documents are None and add_generation_prompt is false where absent. "now" is what
    // strftime_now shows, in seconds since 1970 or as an ISO 8601 text, and no variable; absent: the system's time.
    // Fails with invalid_argument, and the template's own words, where it raises an exception.
    Result<std::string> render(const nlohmann::ordered_json& variables) const;

  private:
    struct Impl;
    std::shared_ptr<const Impl> impl_;
};

}  // namespace elver
