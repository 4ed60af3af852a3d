#include "chat/template.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "jinja/interpreter.hpp"
#include "jinja/parser.hpp"
#include "jinja/scopes.hpp"

namespace elver {
namespace {

using jinja::Env;
using jinja::Value;
using nlohmann::ordered_json;

constexpr size_t max_source_bytes = 4 << 20;
constexpr int max_json_depth = 200;

Value to_value(Env& env, const ordered_json& json, int depth) {
    if (depth > max_json_depth) {
        env.budget.stop(Error(Status::invalid_argument, "the variables are nested too deeply"));
        return {};
    }
    switch (json.type()) {
        case ordered_json::value_t::null:
            return Value(jinja::None{});
        case ordered_json::value_t::boolean:
            return Value(json.get<bool>());
        case ordered_json::value_t::number_integer:
            return Value(static_cast<jinja::Int>(json.get<int64_t>()));
        case ordered_json::value_t::number_unsigned:
            return Value(static_cast<jinja::Int>(json.get<uint64_t>()));
        case ordered_json::value_t::number_float:
            return Value(json.get<double>());
        case ordered_json::value_t::string:
            return env.str(replace_invalid_utf8(json.get_ref<const std::string&>()));
        case ordered_json::value_t::array: {
            jinja::Values items;
            for (const auto& item : json) items.push_back(to_value(env, item, depth + 1));
            return env.list(std::move(items));
        }
        case ordered_json::value_t::object: {
            jinja::Pairs pairs;
            for (const auto& [key, value] : json.items()) {
                pairs.emplace_back(env.str(replace_invalid_utf8(key)), to_value(env, value, depth + 1));
            }
            return env.dict(std::move(pairs));
        }
        default:
            env.budget.stop(Error(Status::invalid_argument, "the variables hold binary data"));
            return {};
    }
}

constexpr std::string_view roles[] = {"system", "developer",   "user",    "assistant", "tool",
                                      "model",  "observation", "ipython", "function"};

// The messages: a role that templates know is a word of theirs and not what someone typed.
Value messages_value(Env& env, const ordered_json& messages) {
    if (!messages.is_array()) return to_value(env, messages, 1);
    jinja::Values items;
    for (const auto& message : messages) {
        if (!message.is_object()) {
            items.push_back(to_value(env, message, 2));
            continue;
        }
        jinja::Pairs pairs;
        for (const auto& [key, value] : message.items()) {
            const std::string* role = key == "role" ? value.get_ptr<const std::string*>() : nullptr;
            const bool known = role && std::find(std::begin(roles), std::end(roles), *role) != std::end(roles);
            pairs.emplace_back(env.str(replace_invalid_utf8(key)),
                               known ? env.str(jinja::Text::of_template(*role)) : to_value(env, value, 3));
        }
        items.push_back(env.dict(std::move(pairs)));
    }
    return env.list(std::move(items));
}

Result<std::optional<jinja::LocalTime>> read_now(const ordered_json& variables) {
    using Now = std::optional<jinja::LocalTime>;
    const auto it = variables.find("now");
    if (it == variables.end() || it->is_null()) return Now();
    if (it->is_number()) {
        const auto time = jinja::from_unix_seconds(it->get<double>());
        if (!time) return time.error();
        return Now(*time);
    }
    const Now time = it->is_string() ? jinja::parse_iso_time(it->get_ref<const std::string&>()) : std::nullopt;
    if (time) return time;
    return Error(Status::invalid_argument,
                 cat("variable \"now\": expected seconds since 1970 or a time such as \"2024-07-26T12:00:00\", found ",
                     in_quotes(it->dump(-1, ' ', false, ordered_json::error_handler_t::replace))));
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

Result<Rendered> ChatTemplate::render(const ordered_json& variables, const TemplateTokens& tokens) const {
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
    for (const auto& [key, value] : variables.items()) {
        if (key == "now") continue;
        pairs.emplace_back(in.str(replace_invalid_utf8(key)),
                           key == "messages" ? messages_value(in, value) : to_value(in, value, 1));
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
