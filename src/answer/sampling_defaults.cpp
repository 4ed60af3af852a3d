#include "answer/sampling_defaults.hpp"

#include <algorithm>
#include <optional>

#include "base/text.hpp"

namespace elver {

namespace {

std::string key_of(std::string_view name) {
    return cat("general.sampling.", name);
}

// The letters of llama.cpp's sampler sequences.
std::optional<SamplerStep> step_of_letter(char letter) {
    switch (letter) {
        case 'e':
            return SamplerStep::penalties;
        case 'd':
            return SamplerStep::dry;
        case 't':
            return SamplerStep::temperature;
        case 'k':
            return SamplerStep::top_k;
        case 's':
            return SamplerStep::top_n_sigma;
        case 'y':
            return SamplerStep::typical_p;
        case 'p':
            return SamplerStep::top_p;
        case 'm':
            return SamplerStep::min_p;
        case 'x':
            return SamplerStep::xtc;
        default:
            return {};
    }
}

// By letters, or by names between semicolons.
Result<std::vector<SamplerStep>> read_sequence(const Gguf& file, std::string_view text) {
    std::vector<SamplerStep> steps;
    const bool by_letter = text.find_first_of(";_") == std::string_view::npos && !step_of_name(text);
    while (!text.empty()) {
        const size_t end = by_letter ? 1 : std::min(text.find(';'), text.size());
        const auto name = text.substr(0, end);
        const auto step = by_letter ? step_of_letter(name[0]) : step_of_name(name == "typ_p" ? "typical_p" : name);
        if (!step) return file.key_error(key_of("sequence"), "letters or names of sampling steps", in_quotes(name));
        steps.push_back(*step);
        text.remove_prefix(std::min(by_letter ? end : end + 1, text.size()));
    }
    return steps;
}

}  // namespace

Result<SamplerSettings> sampling_defaults(const Gguf& file) {
    SamplerSettings s;
    const std::pair<const char*, double*> numbers[] = {
        {"temp", &s.temperature},
        {"top_p", &s.top_p},
        {"min_p", &s.min_p},
        {"xtc_probability", &s.xtc_probability},
        {"xtc_threshold", &s.xtc_threshold},
        {"penalty_repeat", &s.repetition_penalty},
        {"penalty_freq", &s.frequency_penalty},
        {"penalty_present", &s.presence_penalty},
        {"mirostat_tau", &s.mirostat_tau},
        {"mirostat_eta", &s.mirostat_eta},
    };
    for (const auto& [name, out] : numbers) {
        const auto value = file.get_float_or(key_of(name), *out);
        if (!value) return value.error();
        *out = *value;
    }
    const std::pair<const char*, int32_t*> integers[] = {
        {"top_k", &s.top_k}, {"penalty_last_n", &s.penalty_window}, {"mirostat", &s.mirostat}};
    for (const auto& [name, out] : integers) {
        const auto value = file.get_int_or(key_of(name), *out);
        if (!value) return value.error();
        *out = static_cast<int32_t>(std::clamp<int64_t>(*value, INT32_MIN, INT32_MAX));
    }
    s.temperature = std::max(s.temperature, 0.0);  // some files say so that the likeliest token is wanted
    s.top_k = std::max(s.top_k, 0);                // files say -1 for all, too
    const auto sequence = file.get_string_or(key_of("sequence"), "");
    if (!sequence) return sequence.error();
    if (!sequence->empty()) {
        auto steps = read_sequence(file, *sequence);
        if (!steps) return std::move(steps).error();
        s.steps = *std::move(steps);
    }
    if (auto checked = check_settings(s, 0); !checked) {
        return Error(Status::bad_file,
                     cat(file.name(), ": keys ", in_quotes("general.sampling."), ": ", checked.error().message()),
                     "general.sampling");
    }
    return s;
}

}  // namespace elver
