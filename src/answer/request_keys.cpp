#include "answer/request_keys.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "answer/sampling_defaults.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"

namespace elver {

namespace {

// What keys give that depends on other keys.
struct Reading {
    GenerateOptions options;
    std::optional<bool> logprobs;
    std::optional<int32_t> top_logprobs;
    std::string prediction;
    SamplerSettings& sampler() { return options.sampler; }
};

struct Key {
    const char* name;
    const char* expected;
    bool (*read)(const Json& value, Reading& reading);
};

bool read_number(const Json& v, double& out) {
    if (!v.is_number()) return false;
    out = v.number();
    return std::isfinite(out);
}
template <double SamplerSettings::*field>
bool number(const Json& v, Reading& r) {
    return read_number(v, r.sampler().*field);
}
template <int32_t SamplerSettings::*field>
bool integer(const Json& v, Reading& r) {
    return read_integer(v, r.sampler().*field);
}
bool read_strings(const Json& v, std::vector<std::string>& out) {
    out.clear();
    if (v.is_string()) return out.push_back(v.text()), true;
    if (!v.is_array()) return false;
    for (const Json& s : v.items()) {
        if (!s.is_string()) return false;
        out.push_back(s.text());
    }
    return true;
}

bool top_k(const Json& v, Reading& r) {
    int32_t k = 0;
    if (!read_integer(v, k) || k < -1) return false;
    r.sampler().top_k = std::max(k, 0);
    return true;
}
bool max_tokens(const Json& v, Reading& r) {
    return read_integer(v, r.options.max_tokens) && r.options.max_tokens >= -1;
}
bool seed(const Json& v, Reading& r) {
    const double value = v.is_number() ? v.number() : 0.5;
    const bool exact = v.is_integer() || (value == std::floor(value) && std::fabs(value) < 0x1p53);
    if (!exact) return false;
    r.sampler().seed.reset();
    if (value != -1)
        r.sampler().seed = v.is_integer() ? v.uint64() : static_cast<uint64_t>(static_cast<int64_t>(value));
    return true;
}
bool logit_bias(const Json& v, Reading& r) {
    if (!v.is_object()) return false;
    r.sampler().logit_bias.clear();
    for (const auto& [id, bias] : v.members()) {
        double value = -std::numeric_limits<double>::infinity();
        if (id.empty() || id.size() > 9 || id.find_first_not_of("0123456789") != std::string::npos) return false;
        const bool never = bias.is_boolean() && !bias.boolean();
        if (!never && !(read_number(bias, value) && value >= -100 && value <= 100)) return false;
        r.sampler().logit_bias.emplace_back(std::stoi(id), static_cast<float>(value));
    }
    return true;
}
bool samplers(const Json& v, Reading& r) {
    if (!v.is_array()) return false;
    r.sampler().steps.clear();
    for (const Json& name : v.items()) {
        const auto step = step_of_name(name.text());
        if (!step) return false;
        r.sampler().steps.push_back(*step);
    }
    return true;
}
bool logprobs(const Json& v, Reading& r) {
    if (v.is_boolean()) return r.logprobs = v.boolean(), true;
    int32_t n = 0;
    if (!read_integer(v, n) || n < 0 || n > 20) return false;
    r.logprobs = true;
    r.top_logprobs = std::max(r.top_logprobs.value_or(0), n);
    return true;
}
bool top_logprobs(const Json& v, Reading& r) {
    int32_t n = 0;
    if (!read_integer(v, n) || n < 0 || n > 20) return false;
    r.top_logprobs = std::max(r.top_logprobs.value_or(0), n);
    return true;
}

// As OpenAI's predicted outputs: a text, or parts of one.
bool prediction(const Json& v, Reading& r) {
    const Json *type = v.find("type"), *content = v.find("content");
    if (v.size() != 2 || type == nullptr || !type->is("content") || content == nullptr) return false;
    r.prediction.clear();
    if (content->is_string()) return r.prediction = content->text(), true;
    if (!content->is_array()) return false;
    for (const Json& part : content->items()) {
        const Json *kind = part.find("type"), *text = part.find("text");
        if (kind == nullptr || !kind->is("text") || text == nullptr || !text->is_string()) return false;
        r.prediction += text->text();
    }
    return true;
}

// ---- keys that are done already, or ask for nothing

bool any_bool(const Json& v, Reading&) {
    return v.is_boolean();
}
bool any_string(const Json& v, Reading&) {
    return v.is_string();
}
bool is_false(const Json& v, Reading&) {
    return v.is_boolean() && !v.boolean();
}
bool is_true(const Json& v, Reading&) {
    return v.boolean();
}
bool is_one(const Json& v, Reading&) {
    return v.number() == 1;
}
bool is_empty_list(const Json& v, Reading&) {
    return v.is_array() && v.empty();
}
bool is_null(const Json&, Reading&) {
    return false;  // null itself is never asked about
}
bool is_text_format(const Json& v, Reading&) {
    const Json* type = v.find("type");
    return type != nullptr && v.size() == 1 && type->is("text");
}
bool is_text_modality(const Json& v, Reading&) {
    return v.items().size() == 1 && v.items()[0].is("text");
}
bool is_usage(const Json& v, Reading&) {
    if (!v.is_object()) return false;
    for (const auto& [key, value] : v.members()) {
        if ((key != "include_usage" && key != "include_obfuscation") || !value.is_boolean()) return false;
    }
    return true;
}
bool is_object(const Json& v, Reading&) {
    return v.is_object();
}
template <const auto& texts>
bool one_of(const Json& v, Reading&) {
    return v.is_string() && std::find(std::begin(texts), std::end(texts), v.text()) != std::end(texts);
}
constexpr std::string_view auto_or_none[] = {"auto", "none"};
constexpr std::string_view service_tiers[] = {"auto", "default", "flex", "scale", "priority"};
constexpr std::string_view medium[] = {"medium"};

const Key keys[] = {
    {"temperature", "a number", number<&SamplerSettings::temperature>},
    {"dynatemp_range", "a number", number<&SamplerSettings::dynatemp_range>},
    {"dynatemp_exponent", "a number", number<&SamplerSettings::dynatemp_exponent>},
    {"top_k", "an integer of 0 or more, or -1 for all tokens", top_k},
    {"top_p", "a number", number<&SamplerSettings::top_p>},
    {"min_p", "a number", number<&SamplerSettings::min_p>},
    {"typical_p", "a number", number<&SamplerSettings::typical_p>},
    {"top_n_sigma", "a number", number<&SamplerSettings::top_n_sigma>},
    {"xtc_probability", "a number", number<&SamplerSettings::xtc_probability>},
    {"xtc_threshold", "a number", number<&SamplerSettings::xtc_threshold>},
    {"mirostat", "0 or 2", integer<&SamplerSettings::mirostat>},
    {"mirostat_tau", "a number", number<&SamplerSettings::mirostat_tau>},
    {"mirostat_eta", "a number", number<&SamplerSettings::mirostat_eta>},
    {"repetition_penalty", "a number", number<&SamplerSettings::repetition_penalty>},
    {"presence_penalty", "a number", number<&SamplerSettings::presence_penalty>},
    {"frequency_penalty", "a number", number<&SamplerSettings::frequency_penalty>},
    {"penalty_window", "an integer, -1 for all tokens", integer<&SamplerSettings::penalty_window>},
    {"dry_multiplier", "a number", number<&SamplerSettings::dry_multiplier>},
    {"dry_base", "a number", number<&SamplerSettings::dry_base>},
    {"dry_allowed_length", "an integer", integer<&SamplerSettings::dry_allowed_length>},
    {"dry_window", "an integer, -1 for all tokens", integer<&SamplerSettings::dry_window>},
    {"dry_sequence_breakers", "a string or a list of strings",
     [](const Json& v, Reading& r) { return read_strings(v, r.sampler().dry_breakers); }},
    {"samplers",
     "a list of penalties, dry, temperature, top_k, top_n_sigma, typical_p, top_p, min_p and xtc, in the order wanted",
     samplers},
    {"logit_bias", "an object of token ids and numbers from -100 to 100, or false for never", logit_bias},
    {"seed", "an integer of 64 bits, or -1 for a random one", seed},
    {"max_tokens", "an integer of 0 or more, or -1 for no limit", max_tokens},
    {"max_completion_tokens", "an integer of 0 or more, or -1 for no limit", max_tokens},
    {"stop", "a string or a list of strings",
     [](const Json& v, Reading& r) { return read_strings(v, r.options.stop); }},
    {"logprobs", "true or false, or how many alternatives, 0 to 20", logprobs},
    {"top_logprobs", "an integer from 0 to 20", top_logprobs},
    {"ignore_eos", "true or false",
     [](const Json& v, Reading& r) { return v.is_boolean() && (r.options.ignore_end = v.boolean(), true); }},
    // Who streams, counts and is told the usage is the caller.
    {"stream", "true or false", any_bool},
    {"stream_options", "an object of include_usage: true or false", is_usage},
    {"n", "1: one answer", is_one},
    {"best_of", "1: one answer", is_one},
    {"echo", "false: the prompt is not part of the answer", is_false},
    {"suffix", "null: text is not filled in", is_null},
    {"model", "a string", any_string},
    {"user", "a string", any_string},
    {"safety_identifier", "a string", any_string},
    {"prompt_cache_key", "a string", any_string},
    {"prompt_cache_retention", "a string", any_string},
    {"prompt_cache_options", "an object", is_object},
    {"metadata", "an object", is_object},
    {"store", "false: nothing is stored", is_false},
    {"moderation", "null: nothing is moderated", is_null},
    {"service_tier", "\"auto\", \"default\", \"flex\", \"scale\" or \"priority\"", one_of<service_tiers>},
    {"response_format", "{\"type\": \"text\"}: answers are not held to a grammar", is_text_format},
    {"modalities", "[\"text\"]: answers are text", is_text_modality},
    {"audio", "null: answers are text", is_null},
    {"prediction", "{\"type\": \"content\", \"content\": text}", prediction},
    {"speculate", "true or false",
     [](const Json& v, Reading& r) {
         r.options.drafting = v.boolean() ? Drafting::measured : Drafting::off;
         return v.is_boolean();
     }},
    {"web_search_options", "null: the web is not searched", is_null},
    {"verbosity", "\"medium\" or null: the length of answers is the model's", one_of<medium>},
    {"tool_choice", "\"auto\" or \"none\": no tool can be forced", one_of<auto_or_none>},
    {"parallel_tool_calls", "true: the model decides how many tools it calls", is_true},
    {"functions", "null: use \"tools\"", is_empty_list},
    {"function_call", "\"auto\" or \"none\": use \"tool_choice\"", one_of<auto_or_none>},
};

// What other programs call a key.
constexpr struct {
    std::string_view theirs, ours;
} other_names[] = {
    {"repeat_penalty", "repetition_penalty"},
    {"repeat_last_n", "penalty_window"},
    {"n_predict", "max_tokens"},
    {"num_predict", "max_tokens"},
    {"max_new_tokens", "max_tokens"},
    {"typ_p", "typical_p"},
    {"n_probs", "top_logprobs"},
    {"dry_penalty_last_n", "dry_window"},
    {"ignore_eos_token", "ignore_eos"},
};

Error unknown_key(std::string_view name) {
    std::string message = cat("request: unknown key ", in_quotes(name));
    for (const auto& other : other_names) {
        if (other.theirs == name) message += cat("; its name here is ", in_quotes(other.ours));
    }
    return Error(Status::invalid_argument, std::move(message), std::string(name));
}

}  // namespace

Error wrong_value(std::string_view key, std::string_view expected, const Json& found) {
    std::string shown = found.dump();
    if (shown.size() > 60)
        shown = shown.substr(0, 60 - incomplete_utf8_suffix(std::string_view(shown).substr(0, 60))) + "...";
    return Error(Status::invalid_argument,
                 cat("request: key ", in_quotes(key), ": expected ", expected, ", found ", shown), std::string(key));
}

bool read_integer(const Json& v, int32_t& out) {
    if (!v.is_number()) return false;
    const double value = v.number();
    if (!(value >= INT32_MIN && value <= INT32_MAX) || value != std::floor(value)) return false;
    out = static_cast<int32_t>(value);
    return true;
}

Result<Json> parse_object(std::string_view text, std::string_view what) {
    auto json = parse_json(text, what);
    if (json && !json->is_object())
        return Error(Status::invalid_argument, cat(what, ": expected a JSON object, found ", in_quotes(text)),
                     std::string(what));
    return json;
}

Result<GenerateOptions> read_options(const Model& model, const Json& request,
                                     std::initializer_list<std::string_view> own) {
    Reading reading;
    auto defaults = sampling_defaults(model.file());
    if (!defaults) return std::move(defaults).error();
    reading.options.sampler = *std::move(defaults);
    for (const auto& [name, value] : request.members()) {
        if (std::find(own.begin(), own.end(), name) != own.end()) continue;
        const Key* key =
            std::find_if(std::begin(keys), std::end(keys), [&, &n = name](const Key& k) { return n == k.name; });
        if (key == std::end(keys)) return unknown_key(name);
        if (!value.is_null() && !key->read(value, reading)) return wrong_value(name, key->expected, value);
    }
    if (reading.logprobs.value_or(reading.top_logprobs.has_value()))
        reading.options.top_logprobs = reading.top_logprobs.value_or(0);
    if (!reading.prediction.empty()) {
        auto ids = model.tokenizer().encode(reading.prediction, {.add_special = false});
        if (!ids) return std::move(ids).error();
        reading.options.prediction = *std::move(ids);
    }
    if (auto checked = check_options(reading.options, model.spec().n_vocab); !checked)
        return std::move(checked).error();
    return std::move(reading.options);
}

}  // namespace elver
