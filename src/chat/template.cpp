#include "chat/template.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "jinja/interpreter.hpp"
#include "jinja/json_value.hpp"
#include "jinja/parser.hpp"
#include "jinja/scopes.hpp"

namespace elver {
namespace {

using jinja::Env;
using jinja::to_value;
using jinja::Value;

constexpr size_t max_source_bytes = 4 << 20;

constexpr std::string_view roles[] = {"system", "developer",   "user",    "assistant", "tool",
                                      "model",  "observation", "ipython", "function"};

// The messages: a role that templates know is a word of theirs and not what someone typed.
Value messages_value(Env& env, const Json& messages) {
    if (!messages.is_array()) return to_value(env, messages);
    jinja::Values items;
    for (const Json& message : messages.items()) {
        if (!message.is_object()) {
            items.push_back(to_value(env, message));
            continue;
        }
        jinja::Pairs pairs;
        for (const auto& [key, value] : message.members()) {
            const bool known = key == "role" && value.is_string() &&
                               std::find(std::begin(roles), std::end(roles), value.text()) != std::end(roles);
            pairs.emplace_back(env.str(replace_invalid_utf8(key)),
                               known ? env.str(jinja::Text::of_template(value.text())) : to_value(env, value));
        }
        items.push_back(env.dict(std::move(pairs)));
    }
    return env.list(std::move(items));
}

Result<std::optional<jinja::LocalTime>> read_now(const Json& variables) {
    using Now = std::optional<jinja::LocalTime>;
    const Json* now = variables.find("now");
    if (now == nullptr || now->is_null()) return Now();
    if (now->is_number()) {
        const auto time = jinja::from_unix_seconds(now->number());
        if (!time) return time.error();
        return Now(*time);
    }
    const Now time = jinja::parse_iso_time(now->text());
    if (time) return time;
    return Error(Status::invalid_argument,
                 cat("variable \"now\": expected seconds since 1970 or a time such as \"2024-07-26T12:00:00\", found ",
                     in_quotes(now->dump())));
}

}  // namespace

struct ChatTemplate::Impl {
    std::string source;
    jinja::Syntax syntax;
};

Result<ChatTemplate> ChatTemplate::parse(std::string source) {
    if (source.size() > max_source_bytes) {
        return Error(Status::unsupported,
                     cat("expected at most ", max_source_bytes, " bytes of template, found ", source.size()));
    }
    if (!is_valid_utf8(source)) return Error(Status::bad_file, "the template is not valid UTF-8");
    auto syntax = jinja::parse(source);
    if (!syntax) return std::move(syntax).error();
    if (auto bound = jinja::bind_names(*syntax); !bound) return std::move(bound).error();
    ChatTemplate out;
    out.impl_ = std::make_shared<const Impl>(Impl{std::move(source), *std::move(syntax)});
    return out;
}

Result<Rendered> ChatTemplate::render(const Json& variables, const TemplateTokens& tokens) const {
    if (!impl_) return Error(Status::internal, "the template was moved from");
    if (!variables.is_object())
        return Error(Status::invalid_argument, cat("the variables: expected an object, found ", variables.type_name()));
    const auto now = read_now(variables);
    if (!now) return now.error();
    jinja::Interpreter in(impl_->syntax, *now);
    jinja::Pairs pairs;
    // What transformers always passes.
    pairs.emplace_back(in.str("tools"), Value(jinja::None{}));
    pairs.emplace_back(in.str("documents"), Value(jinja::None{}));
    pairs.emplace_back(in.str("add_generation_prompt"), Value(false));
    using jinja::Text;
    if (tokens.bos) pairs.emplace_back(in.str("bos_token"), in.str(Text::of_template(*tokens.bos)));
    if (tokens.eos) pairs.emplace_back(in.str("eos_token"), in.str(Text::of_template(*tokens.eos)));
    for (const auto& [key, value] : variables.members()) {
        if (key == "now") continue;
        pairs.emplace_back(in.str(replace_invalid_utf8(key)),
                           key == "messages" ? messages_value(in, value) : to_value(in, value));
    }
    const Value all = in.dict(std::move(pairs));
    in.budget.start();
    auto text = in.run(all);
    if (!text) return std::move(text).error();
    return Rendered{std::move(text->bytes), std::move(text->typed)};
}

bool ChatTemplate::reads(std::string_view variable) const {
    return impl_ && jinja::reads(impl_->syntax, variable);
}

bool ChatTemplate::spells(std::string_view text) const {
    return impl_ && impl_->source.find(text) != std::string::npos;
}

}  // namespace elver
