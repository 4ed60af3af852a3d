#include "answer/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>

#include "tokenizer/tokenizer.hpp"

namespace elver {

namespace {

// A temperature near 0 must not make the scale infinite.
constexpr double greatest_scale = 1e30;
// What dry subtracts at most, so that logits stay numbers.
constexpr double greatest_penalty = 1e30;

std::span<const int32_t> last_of(std::span<const int32_t> ids, int32_t window) {
    return window >= 0 && ids.size() > static_cast<size_t>(window) ? ids.last(static_cast<size_t>(window)) : ids;
}

uint64_t share_of(double share, double total) {
    return static_cast<uint64_t>(std::ceil(share * total));
}

}  // namespace

Sampler::Sampler(const SamplerSettings& settings, const KernelTable& kernels)
    : settings_(settings), edited_(kernels), candidates_(kernels), top_(kernels) {}

Result<Sampler> Sampler::make(const SamplerSettings& s, const KernelTable& kernels, int n_vocab,
                              const Tokenizer* tokenizer) {
    if (auto checked = check_settings(s, n_vocab); !checked) return std::move(checked).error();
    Sampler sampler(s, kernels);
    sampler.tokenizer_ = tokenizer;
    if (s.seed) {
        sampler.seed_ = *s.seed;
    } else {
        std::random_device random;
        sampler.seed_ = static_cast<uint64_t>(random()) << 32 | random();
    }
    sampler.state_ = sampler.seed_;
    sampler.surprise_bound_ = 2 * s.mirostat_tau;
    if (s.repetition_penalty != 1 || s.presence_penalty != 0 || s.frequency_penalty != 0)
        sampler.counts_.resize(static_cast<size_t>(n_vocab));
    return sampler;
}

// SplitMix64 (Steele, Lea and Flood 2014).
uint64_t Sampler::next_random() noexcept {
    uint64_t z = state_ += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

double Sampler::next_uniform() noexcept {
    return static_cast<double>(next_random() >> 11) * 0x1p-53;
}

int32_t Sampler::sample(LogitRow& row, const TokenHistory& history) {
    row_ = &row;
    listed_ = false;
    scale_ = 1;
    add_bias();
    const bool greedy = settings_.temperature == 0;
    for (const SamplerStep step : settings_.steps) {
        if (!greedy || step == SamplerStep::penalties || step == SamplerStep::dry) apply(step, history);
    }
    if (!row_->sound()) return row.best();  // every token has a bias of minus infinity
    return greedy ? row_->best() : draw();
}

void Sampler::apply(SamplerStep step, const TokenHistory& history) {
    const auto& s = settings_;
    switch (step) {
        case SamplerStep::penalties:
            return penalise(history);
        case SamplerStep::dry:
            return penalise_repetition(history);
        case SamplerStep::temperature:
            return apply_temperature();
        case SamplerStep::top_k:
            return keep_top_k();
        case SamplerStep::top_n_sigma:
            return keep_top_n_sigma();
        case SamplerStep::typical_p:
            return keep_typical();
        case SamplerStep::top_p:
            return keep_top_p();
        case SamplerStep::min_p:
            if (s.min_p > 0)
                keep_from(
                    static_cast<float>(static_cast<double>(peak()) + std::log(s.min_p) / static_cast<double>(scale_)));
            return;
        case SamplerStep::xtc:
            return exclude_top_choices();
    }
}

// ---- what steps share

double Sampler::weight_sum() {
    if (!listed_) return row_->exp_sum(scale_);
    uint64_t sum = 0;
    for (const uint64_t w : candidates_.weights(scale_)) sum += w;
    return static_cast<double>(sum) / Candidates::one;
}

Sampler::Spread Sampler::spread() {
    const double sum = weight_sum();
    double moment = 0;
    if (!listed_) {
        moment = row_->exp_moment(scale_);
    } else {
        const float top = candidates_.peak();
        const auto weights = candidates_.weights(scale_);
        for (size_t i = 0; i < weights.size(); ++i) {
            if (weights[i] > 0)
                moment += static_cast<double>(weights[i]) / Candidates::one *
                          static_cast<double>((candidates_.logit(i) - top) * scale_);
        }
    }
    return {std::log(sum) - moment / sum, std::log(sum)};
}

void Sampler::list_from(float least) {
    row_->gather(least, candidates_);
    listed_ = true;
}

void Sampler::keep_from(float least) {
    least = std::min(least, peak());
    if (!listed_) return list_from(least);
    candidates_.filter([&](size_t i) { return candidates_.logit(i) >= least; });
}

LogitRow& Sampler::editable() {
    if (row_ != &edited_) {
        edited_.copy(*row_);
        row_ = &edited_;
    }
    return edited_;
}

// ---- steps that change logits

void Sampler::add_bias() {
    if (settings_.logit_bias.empty()) return;
    LogitRow& row = editable();
    for (const auto& [id, bias] : settings_.logit_bias) row.edit(id, row.logits()[static_cast<size_t>(id)] + bias);
    row.refresh();
}

void Sampler::penalise(const TokenHistory& history) {
    if (counts_.empty()) return;
    const auto ids = last_of(history.ids, settings_.penalty_window);
    const size_t first = history.ids.size() - ids.size();
    for (size_t i = 0; i < ids.size(); ++i) {
        Count& count = counts_[static_cast<size_t>(ids[i])];
        ++count.in_all;
        count.in_answer += first + i >= history.n_prompt ? 1 : 0;
    }
    const auto repetition = static_cast<float>(settings_.repetition_penalty);
    const auto penalised = [&](float v, const Count& count) {
        v = v > 0 ? v / repetition : v * repetition;
        if (count.in_answer == 0) return v;
        const double taken = settings_.presence_penalty + settings_.frequency_penalty * count.in_answer;
        return v - static_cast<float>(taken / static_cast<double>(scale_));
    };
    if (listed_) {
        for (size_t i = 0; i < candidates_.size(); ++i) {
            const Count& count = counts_[static_cast<size_t>(candidates_.id(i))];
            if (count.in_all > 0) candidates_.set_logit(i, penalised(candidates_.logit(i), count));
        }
        for (const int32_t id : ids) counts_[static_cast<size_t>(id)] = {};
        return;
    }
    if (ids.empty()) return;
    LogitRow& row = editable();
    for (const int32_t id : ids) {
        const Count count = std::exchange(counts_[static_cast<size_t>(id)], {});
        if (count.in_all > 0) row.edit(id, penalised(row.logits()[static_cast<size_t>(id)], count));
    }
    row.refresh();
}

bool Sampler::breaks_repetition(int32_t id) {
    const auto [it, is_new] = breakers_.try_emplace(id, false);
    if (is_new && tokenizer_ != nullptr) {
        const std::string text = tokenizer_->bytes(id, true);
        for (const std::string& breaker : settings_.dry_breakers)
            it->second = it->second || text.find(breaker) != std::string::npos;
    }
    return it->second;
}

// DRY ("don't repeat yourself"), by p-e-w: text-generation-webui, pull request 5677.
void Sampler::penalise_repetition(const TokenHistory& history) {
    const auto& s = settings_;
    if (s.dry_multiplier == 0) return;
    const auto ids = last_of(history.ids, s.dry_window);
    const size_t n = ids.size();
    const auto back = [&](size_t i) { return ids[n - 1 - i]; };  // the text read backwards
    size_t limit = 0;                                            // tokens behind the last breaker
    while (limit < n && !breaks_repetition(back(limit))) ++limit;
    const auto allowed = static_cast<size_t>(s.dry_allowed_length);
    if (limit < allowed) return;
    // lengths_[i]: how many tokens that end before back(i - 1) are those that the text ends with. Z algorithm.
    lengths_.assign(n, 0);
    repetitions_.clear();
    size_t from = 0, to = 0;  // the match that reaches farthest
    for (size_t i = 1; i < n; ++i) {
        size_t same = i < to ? std::min(to - i, static_cast<size_t>(lengths_[i - from])) : 0;
        while (i + same < n && back(same) == back(i + same)) ++same;
        if (i + same > to) from = i, to = i + same;
        lengths_[i] = static_cast<int32_t>(same);
        const size_t length = std::min(same, limit);
        if (length < allowed) continue;
        int32_t& longest = repetitions_[back(i - 1)];
        longest = std::max(longest, static_cast<int32_t>(length));
    }
    const auto penalty = [&](int32_t length) {
        const double taken = s.dry_multiplier * std::pow(s.dry_base, length - s.dry_allowed_length);
        return static_cast<float>(std::min(taken, greatest_penalty) / static_cast<double>(scale_));
    };
    if (listed_) {
        for (size_t i = 0; i < candidates_.size(); ++i) {
            const auto it = repetitions_.find(candidates_.id(i));
            if (it != repetitions_.end() && !breaks_repetition(it->first))
                candidates_.set_logit(i, candidates_.logit(i) - penalty(it->second));
        }
        return;
    }
    if (repetitions_.empty()) return;
    LogitRow& row = editable();
    for (const auto& [id, length] : repetitions_) {
        if (!breaks_repetition(id)) row.edit(id, row.logits()[static_cast<size_t>(id)] - penalty(length));
    }
    row.refresh();
}

void Sampler::apply_temperature() {
    const auto& s = settings_;
    double temperature = s.temperature;
    const size_t n = listed_ ? candidates_.size() : row_->logits().size();
    if (s.dynatemp_range > 0 && n > 1) {
        const double evenness = std::clamp(spread().entropy / std::log(static_cast<double>(n)), 0.0, 1.0);
        const double low = std::max(temperature - s.dynatemp_range, 0.0), high = temperature + s.dynatemp_range;
        temperature = low + (high - low) * std::pow(evenness, s.dynatemp_exponent);
    }
    scale_ = static_cast<float>(std::min(static_cast<double>(scale_) / temperature, greatest_scale));
}

// ---- steps that drop tokens

void Sampler::keep_top_k() {
    const auto k = static_cast<size_t>(settings_.top_k);
    if (k == 0 || k >= (listed_ ? candidates_.size() : row_->logits().size())) return;
    if (!listed_) list_from(row_->bound_of_top(k));
    if (candidates_.size() <= k) return;
    candidates_.keep_best([&](size_t i) { return candidates_.logit(i); }, [](size_t) { return uint64_t{1}; }, k);
}

void Sampler::keep_top_p() {
    if (settings_.top_p >= 1) return;
    const uint64_t target = share_of(settings_.top_p, weight_sum() * Candidates::one);
    if (!listed_) {
        // The most likely tokens, in widening circles, until they hold enough.
        const float top = peak();
        for (float reach = 4;; reach *= 2) {
            list_from(top - reach / scale_);
            uint64_t mass = 0;
            for (const uint64_t w : candidates_.weights(scale_)) mass += w;
            if (mass >= target || reach > 64) break;
        }
    }
    const auto weights = candidates_.weights(scale_);
    candidates_.keep_best([&](size_t i) { return candidates_.logit(i); }, [&](size_t i) { return weights[i]; }, target);
}

void Sampler::keep_typical() {
    if (settings_.typical_p >= 1) return;
    const Spread s = spread();
    const uint64_t target = share_of(settings_.typical_p, std::exp(s.log_sum) * Candidates::one);
    const float top = peak();
    const auto score = [&](float logit) {
        const double surprise = s.log_sum - static_cast<double>((logit - top) * scale_);
        return static_cast<float>(-std::fabs(surprise - s.entropy));
    };
    if (!listed_) {
        for (float reach = 8;; reach *= 2) {
            const float least = top - reach / scale_;
            list_from(least);
            // What is not in the list is less typical than the tokens of this score, once the circle is wider than the
            // entropy.
            const float outside = score(least);
            const auto weights = candidates_.weights(scale_);
            uint64_t mass = 0;
            for (size_t i = 0; i < weights.size(); ++i) mass += score(candidates_.logit(i)) >= outside ? weights[i] : 0;
            const bool wide = s.log_sum + static_cast<double>(reach) >= s.entropy;
            if ((wide && mass >= target) || reach > 64) break;
        }
    }
    const auto weights = candidates_.weights(scale_);
    candidates_.keep_best([&](size_t i) { return score(candidates_.logit(i)); }, [&](size_t i) { return weights[i]; },
                          target);
}

void Sampler::keep_top_n_sigma() {
    if (settings_.top_n_sigma <= 0) return;
    double sum = 0, squares = 0, n = 0;
    const float top = peak();
    const auto add = [&](float v) {
        if (std::isinf(v)) return;
        const double d = static_cast<double>(v) - static_cast<double>(top);
        sum += d, squares += d * d, n += 1;
    };
    if (listed_) {
        for (size_t i = 0; i < candidates_.size(); ++i) add(candidates_.logit(i));
    } else {
        for (const float v : row_->logits()) add(v);
    }
    const double deviation = std::sqrt(std::max(squares / n - (sum / n) * (sum / n), 0.0));
    keep_from(static_cast<float>(static_cast<double>(top) - settings_.top_n_sigma * deviation));
}

// XTC ("exclude top choices"), by p-e-w: text-generation-webui, pull request 6335.
void Sampler::exclude_top_choices() {
    const auto& s = settings_;
    if (s.xtc_probability <= 0 || s.xtc_threshold > 0.5 || next_uniform() >= s.xtc_probability) return;
    const double least_ratio = std::max(s.xtc_threshold * weight_sum(), 1e-30);
    const auto least =
        static_cast<float>(static_cast<double>(peak()) + std::log(least_ratio) / static_cast<double>(scale_));
    if (!listed_) row_->gather(least, top_);
    const Candidates& from = listed_ ? candidates_ : top_;
    size_t n_top = 0, kept = 0;
    for (size_t i = 0; i < from.size(); ++i) {
        if (from.logit(i) < least) continue;
        if (n_top++ == 0 || from.logit(i) <= from.logit(kept)) kept = i;
    }
    if (n_top < 2) return;
    if (listed_) {
        candidates_.filter([&](size_t i) { return candidates_.logit(i) < least || i == kept; });
        return;
    }
    LogitRow& row = editable();
    for (size_t i = 0; i < top_.size(); ++i) {
        if (i != kept) row.edit(top_.id(i), -std::numeric_limits<float>::infinity());
    }
    row.refresh();
}

// ---- the draw

int32_t Sampler::draw() {
    if (settings_.mirostat == 2) {
        const double least_ratio = std::exp2(-surprise_bound_) * weight_sum();
        keep_from(
            static_cast<float>(static_cast<double>(peak()) + std::log(least_ratio) / static_cast<double>(scale_)));
    }
    const double u = next_uniform();
    if (!listed_) return row_->draw(u, scale_);
    const auto weights = candidates_.weights(scale_);
    uint64_t total = 0;
    for (const uint64_t w : weights) total += w;
    auto left = static_cast<uint64_t>(u * static_cast<double>(total));
    size_t chosen = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
        if (weights[i] == 0) continue;
        chosen = i;
        if (left < weights[i]) break;
        left -= weights[i];
    }
    if (settings_.mirostat == 2) {
        const double surprise = std::log2(static_cast<double>(total) / static_cast<double>(weights[chosen]));
        surprise_bound_ -= settings_.mirostat_eta * (surprise - settings_.mirostat_tau);
    }
    return candidates_.id(chosen);
}

}  // namespace elver
