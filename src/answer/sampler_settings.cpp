#include "answer/sampler_settings.hpp"

#include <algorithm>
#include <cmath>

#include "base/text.hpp"

namespace elver {

namespace {

constexpr struct {
    SamplerStep step;
    const char* name;
} steps[] = {
    {SamplerStep::penalties, "penalties"},
    {SamplerStep::dry, "dry"},
    {SamplerStep::temperature, "temperature"},
    {SamplerStep::top_k, "top_k"},
    {SamplerStep::top_n_sigma, "top_n_sigma"},
    {SamplerStep::typical_p, "typical_p"},
    {SamplerStep::top_p, "top_p"},
    {SamplerStep::min_p, "min_p"},
    {SamplerStep::xtc, "xtc"},
};

Error out_of_range(const char* field, std::string_view expected, double found) {
    return Error(Status::invalid_argument, cat(field, ": expected ", expected, ", found ", found), field);
}

}  // namespace

const char* step_name(SamplerStep step) noexcept {
    for (const auto& s : steps) {
        if (s.step == step) return s.name;
    }
    return "";
}

std::optional<SamplerStep> step_of_name(std::string_view name) noexcept {
    for (const auto& s : steps) {
        if (name == s.name) return s.step;
    }
    return {};
}

Result<void> check_settings(const SamplerSettings& s, int n_vocab) {
    struct Range {
        const char* field;
        double value, low, high;
    };
    const Range ranges[] = {
        {"temperature", s.temperature, 0, 100},
        {"dynatemp_range", s.dynatemp_range, 0, 100},
        {"dynatemp_exponent", s.dynatemp_exponent, 0, 100},
        {"top_k", static_cast<double>(s.top_k), 0, INT32_MAX},
        {"top_p", s.top_p, 0, 1},
        {"min_p", s.min_p, 0, 1},
        {"typical_p", s.typical_p, 0, 1},
        {"top_n_sigma", s.top_n_sigma, 0, 1e6},
        {"xtc_probability", s.xtc_probability, 0, 1},
        {"xtc_threshold", s.xtc_threshold, 0, 1},
        {"penalty_window", static_cast<double>(s.penalty_window), -1, INT32_MAX},
        {"repetition_penalty", s.repetition_penalty, 0.01, 100},
        {"presence_penalty", s.presence_penalty, -100, 100},
        {"frequency_penalty", s.frequency_penalty, -100, 100},
        {"dry_multiplier", s.dry_multiplier, 0, 1e6},
        {"dry_base", s.dry_base, 1, 1e6},
        {"dry_allowed_length", static_cast<double>(s.dry_allowed_length), 1, INT32_MAX},
        {"dry_window", static_cast<double>(s.dry_window), -1, INT32_MAX},
        {"mirostat_tau", s.mirostat_tau, 0, 1e6},
        {"mirostat_eta", s.mirostat_eta, 0, 1},
    };
    for (const Range& r : ranges) {
        // Not "out of range if below or above": what is not a number is neither.
        if (!(r.value >= r.low && r.value <= r.high)) return out_of_range(r.field, cat(r.low, " to ", r.high), r.value);
    }
    if (s.mirostat != 0 && s.mirostat != 2)
        return out_of_range("mirostat", "0 (off) or 2", static_cast<double>(s.mirostat));
    for (const auto& [id, bias] : s.logit_bias) {
        if (id < 0 || id >= n_vocab)
            return out_of_range("logit_bias", cat("ids from 0 to ", n_vocab - 1), static_cast<double>(id));
        const bool never = std::isinf(bias) && bias < 0;
        if (!never && !(bias >= -100 && bias <= 100))
            return out_of_range("logit_bias", cat("biases from -100 to 100, of ", id), static_cast<double>(bias));
    }
    for (size_t i = 0; i < s.steps.size(); ++i) {
        if (std::find(s.steps.begin(), s.steps.begin() + static_cast<std::ptrdiff_t>(i), s.steps[i]) !=
            s.steps.begin() + static_cast<std::ptrdiff_t>(i))
            return Error(Status::invalid_argument,
                         cat("samplers: expected each step once, found ", in_quotes(step_name(s.steps[i])), " twice"),
                         "samplers");
    }
    for (const std::string& breaker : s.dry_breakers) {
        if (breaker.empty())
            return Error(Status::invalid_argument, "dry_sequence_breakers: expected strings that are not empty",
                         "dry_sequence_breakers");
    }
    return {};
}

}  // namespace elver
