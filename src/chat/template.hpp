// Chat templates: the part of Jinja that real templates use, rendered as Python's jinja2 does in transformers' settings
// (immutable sandbox, trim_blocks, lstrip_blocks, loop controls). The engine is in jinja/; a template is hostile
// content, so its steps, memory and depth are bounded. Source: the Jinja "Template Designer Documentation".
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/ranges.hpp"
#include "base/result.hpp"

namespace elver {

// What a template made of its variables.
struct Rendered {
    std::string text;
    // What people typed: every byte that comes from the variables or was computed from them. The rest stands in the
    // template. Control tokens are to be read in the rest only.
    Ranges typed;
};

// Texts that the host gives to a template as the template's own.
struct TemplateTokens {
    std::optional<std::string> bos, eos;  // bos_token and eos_token where the variables have none
};

// Immutable; copies share one tree, and threads may render at once.
class ChatTemplate {
  public:
    // Fails with bad_file for broken syntax and unsupported for what elver does not run, naming it and its line.
    static Result<ChatTemplate> parse(std::string source);

    // variables: an object with messages, tools, documents, add_generation_prompt, bos_token, eos_token and what else
    // the template reads. tools and documents are None and add_generation_prompt is false where absent. "now" is what
    // strftime_now shows, in seconds since 1970 or as an ISO 8601 text, and no variable; absent: the system's time.
    // The role of a message counts as the template's if it is one of those that templates know (user, tool ...), as
    // some write "<|" + role + "|>". Fails with invalid_argument, and the template's own words, where it raises an
    // exception.
    Result<Rendered> render(const Json& variables, const TemplateTokens& tokens = {}) const;

    // Whether the template reads a variable of the caller.
    bool reads(std::string_view variable) const;
    // Whether a text stands in the source.
    bool spells(std::string_view text) const;

  private:
    struct Impl;
    std::shared_ptr<const Impl> impl_;
};

// The templates of a model's file.
struct ModelTemplates {
    Result<ChatTemplate> chat;
    std::optional<Result<ChatTemplate>> tool_use;  // one for conversations with tools, where the file names it

    Result<const ChatTemplate*> choose(bool with_tools) const {
        const auto& chosen = with_tools && tool_use ? *tool_use : chat;
        if (!chosen) return chosen.error();
        return &*chosen;
    }
};

}  // namespace elver
