#include "chat/template.hpp"

#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "chat/jinja/interpreter.hpp"
#include "chat/jinja/parser.hpp"
#include "chat/jinja/scopes.hpp"

namespace elver {
namespace {

using jinja::Env;
using jinja::Failure;
using jinja::Value;
using nlohmann::ordered_json;

constexpr size_t max_source_bytes = 4 << 20;
constexpr int max_json_depth = 200;

Value to_value(Env& env, const ordered_json& json, int depth) {
    if (depth > max_json_depth) throw Failure{Status::invalid_argument, "the variables are nested too deeply", true};
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
            throw Failure{Status::invalid_argument, "the variables hold binary data", true};
    }
}

std::optional<jinja::LocalTime> read_now(const ordered_json& variables) {
    const auto it = variables.find("now");
    if (it == variables.end() || it->is_null()) return std::nullopt;
    if (it->is_number()) return jinja::from_unix_seconds(it->get<double>());
    const auto time = it->is_string() ? jinja::parse_iso_time(it->get_ref<const std::string&>()) : std::nullopt;
    if (!time) {
        throw Failure{
            Status::invalid_argument,
            cat("variable \"now\": expected seconds since 1970 or a time such as \"2024-07-26T12:00:00\", found ",
                in_quotes(it->dump(-1, ' ', false, ordered_json::error_handler_t::replace))),
            true};
    }
    return time;
}

// Runs what may throw and turns every exception into an Error: none leaves this room.
template <class T, class F>
Result<T> guarded(F&& work) {
    try {
        return work();
    } catch (const Failure& f) {
        return Error(f.status, f.message);
    } catch (const std::bad_alloc&) {
        return Error(Status::out_of_memory, "a chat template: the system has no memory left");
    } catch (const std::exception& e) {
        return Error(Status::internal, cat("a chat template: ", e.what()));
    }
}

}  // namespace

struct ChatTemplate::Impl {
    jinja::Syntax syntax;
};

Result<ChatTemplate> ChatTemplate::parse(std::string source) {
    if (source.size() > max_source_bytes) {
        return Error(Status::unsupported,
                     cat("expected at most ", max_source_bytes, " bytes of template, found ", source.size()));
    }
    if (!is_valid_utf8(source)) return Error(Status::bad_file, "the template is not valid UTF-8");
    return guarded<ChatTemplate>([&]() -> Result<ChatTemplate> {
        auto impl = std::make_shared<Impl>();
        impl->syntax = jinja::parse(source);
        jinja::bind_names(impl->syntax);
        ChatTemplate out;
        out.impl_ = std::move(impl);
        return out;
    });
}

Result<std::string> ChatTemplate::render(const ordered_json& variables) const {
    if (!impl_) return Error(Status::internal, "the template was moved from");
    if (!variables.is_object())
        return Error(Status::invalid_argument, cat("the variables: expected an object, found ", variables.type_name()));
    return guarded<std::string>([&]() -> Result<std::string> {
        jinja::Interpreter interpreter(impl_->syntax, read_now(variables));
        jinja::Pairs pairs;
        // What transformers always passes.
        pairs.emplace_back(interpreter.str("tools"), Value(jinja::None{}));
        pairs.emplace_back(interpreter.str("documents"), Value(jinja::None{}));
        pairs.emplace_back(interpreter.str("add_generation_prompt"), Value(false));
        for (const auto& [key, value] : variables.items()) {
            if (key != "now")
                pairs.emplace_back(interpreter.str(replace_invalid_utf8(key)), to_value(interpreter, value, 1));
        }
        const Value all = interpreter.dict(std::move(pairs));
        interpreter.budget.start();
        return interpreter.run(all);
    });
}

}  // namespace elver
