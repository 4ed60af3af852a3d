#include <cmath>
#include <cstring>

#include "base/text.hpp"
#include "layers/layers.hpp"

namespace elver {

EmbedPhase::EmbedPhase(Program& program, Config config)
    : program_(&program), config_(std::move(config)), decode_(decoder(config_.table.type)) {
    program.widths.need(Buffer::x, static_cast<int>(config_.table.shape.columns()));
    program.widths.n_rope_tables = static_cast<int>(config_.rope.size());
    for (const RopeTable& table : config_.rope) {
        program.widths.rope_dims = std::max(program.widths.rope_dims, static_cast<int>(2 * table.frequencies.size()));
    }
}

void EmbedPhase::run(const Pass& pass, int worker) const noexcept {
    const auto width = static_cast<size_t>(config_.table.shape.columns());
    const Share mine = share(pass.n_tokens, worker, pass.pool->n_threads());
    for (int t = mine.begin; t < mine.end; ++t) {
        float* x = program_->row(*pass.scratch, Buffer::x, t);
        decode_(config_.table.row(pass.ids[t]), x, width);
        for (size_t i = width; i < program_->widths.stride(Buffer::x); ++i) x[i] = 0.0f;
        if (config_.scale != 1.0f) {
            for (size_t i = 0; i < width; ++i) x[i] *= config_.scale;
        }
        if (config_.added != nullptr) {
            for (size_t i = 0; i < width; ++i) x[i] += config_.added[i];
        }
        if (config_.positions != nullptr) {
            const float* p = config_.positions + static_cast<size_t>(pass.pos[t]) * width;
            for (size_t i = 0; i < width; ++i) x[i] += p[i];
        }
        config_.norm.apply(*pass.kernels, x, 0, x, 0, static_cast<int>(width), 0, 1);
        for (size_t table = 0; table < config_.rope.size(); ++table) {
            const RopeTable& rope = config_.rope[table];
            float* out = program_->rope_table(*pass.scratch, static_cast<int>(table), t);
            const double pos = pass.pos[t] * rope.position_scale;
            const bool beyond = !rope.long_frequencies.empty() && pass.cache->n_ctx() > rope.long_beyond;
            const std::vector<double>& frequencies = beyond ? rope.long_frequencies : rope.frequencies;
            for (size_t i = 0; i < frequencies.size(); ++i) {
                const double angle = pos * frequencies[i];
                out[2 * i] = static_cast<float>(std::cos(angle) * rope.magnitude);
                out[2 * i + 1] = static_cast<float>(std::sin(angle) * rope.magnitude);
            }
        }
    }
}

std::string EmbedPhase::describe() const {
    return cat("embed ", dtype_name(config_.table.type), " ", config_.table.shape.text(), ", ", config_.rope.size(),
               " rotary tables");
}

SelectPhase::SelectPhase(Program& program, int width) : program_(&program), width_(width) {
    program.widths.need(Buffer::outputs, width);
}

void SelectPhase::run(const Pass& pass, int worker) const noexcept {
    const Share mine = share(pass.n_outputs, worker, pass.pool->n_threads());
    for (int i = mine.begin; i < mine.end; ++i) {
        std::memcpy(program_->row(*pass.scratch, Buffer::outputs, i),
                    program_->row(*pass.scratch, Buffer::x, pass.outputs[i]),
                    program_->widths.stride(Buffer::outputs) * sizeof(float));
    }
}

std::string SelectPhase::describe() const {
    return cat("select [outputs, ", width_, "]");
}

void LogitPhase::run(const Pass& pass, int worker) const noexcept {
    const Share mine = share(pass.n_outputs, worker, pass.pool->n_threads());
    for (int i = mine.begin; i < mine.end; ++i) {
        float* logits = program_->row(*pass.scratch, Buffer::logits, i);
        const size_t n = program_->widths.stride(Buffer::logits);
        if (scale_ != 1.0f) {
            for (size_t j = 0; j < n; ++j) logits[j] *= scale_;
        }
        if (cap_ > 0) pass.kernels->soft_cap(logits, n, cap_);
    }
}

std::string LogitPhase::describe() const {
    return cat("logits times ", scale_, cap_ > 0 ? cat(", soft cap ", cap_) : std::string());
}

}  // namespace elver
