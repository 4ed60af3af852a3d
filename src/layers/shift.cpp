// Rows mixed with the rows before them, and the other small steps around recurrent mixers.
#include <cstring>

#include "base/text.hpp"
#include "layers/recurrent.hpp"

namespace elver {

ShiftPhase::ShiftPhase(Program& program, Config config) : program_(&program), config_(std::move(config)) {
    const int stride = static_cast<int>(padded_row(config_.width));
    program.widths.need(Buffer::normed, config_.width);
    program.widths.need(config_.out, stride * static_cast<int>(config_.lerps.size()));
    if (config_.keep) program.widths.need(Buffer::gate, 2 * stride);
}

void ShiftPhase::run(const Pass& pass, int worker) const noexcept {
    const Config& c = config_;
    const auto width = static_cast<size_t>(c.width), stride = padded_row(c.width);
    const Share mine = share(pass.n_tokens, worker, pass.pool->n_threads());
    c.norm.apply(*pass.kernels, program_->row(*pass.scratch, Buffer::x, 0), program_->widths.stride(Buffer::x),
                 program_->row(*pass.scratch, Buffer::normed, 0), program_->widths.stride(Buffer::normed), c.width,
                 mine.begin, mine.end);
    pass.pool->barrier();
    for (int t = mine.begin; t < mine.end; ++t) {
        const float* y = program_->row(*pass.scratch, Buffer::normed, t);
        const float* previous = t == 0 ? c.state.before(pass) : program_->row(*pass.scratch, Buffer::normed, t - 1);
        float* out = program_->row(*pass.scratch, c.out, t);
        for (const float* lerp : c.lerps) {
            for (size_t i = 0; i < width; ++i) out[i] = y[i] + lerp[i] * (previous[i] - y[i]);
            out += stride;
        }
        if (c.keep) {
            float* kept = program_->row(*pass.scratch, Buffer::gate, t);
            for (size_t i = 0; i < width; ++i) kept[i] = y[i], kept[stride + i] = previous[i] - y[i];
        }
        if (t == pass.n_tokens - 1) std::memcpy(c.state.after(pass), y, width * sizeof(float));
    }
}

std::string ShiftPhase::describe() const {
    return cat("norm, ", config_.lerps.size(), " mixes with the row before [n, ", config_.width, "]");
}

void MixPhase::run(const Pass& pass, int worker) const noexcept {
    const auto width = static_cast<size_t>(width_), stride = padded_row(width_);
    const Share mine = share(pass.n_tokens, worker, pass.pool->n_threads());
    for (int t = mine.begin; t < mine.end; ++t) {
        const float *y = program_->row(*pass.scratch, Buffer::gate, t), *delta = y + stride;
        float* part = program_->row(*pass.scratch, Buffer::hidden, t);
        for (int p = 0; p < n_parts_; ++p, part += stride) {
            for (size_t i = 0; i < width; ++i) part[i] = y[i] + part[i] * delta[i];
        }
    }
}

std::string MixPhase::describe() const {
    return cat(n_parts_, " mixes [n, ", width_, "]");
}

void GatedAddPhase::run(const Pass& pass, int worker) const noexcept {
    const Share mine = share(pass.n_tokens, worker, pass.pool->n_threads());
    for (int t = mine.begin; t < mine.end; ++t) {
        float* x = program_->row(*pass.scratch, Buffer::x, t);
        const float *gate = program_->row(*pass.scratch, Buffer::gate, t),
                    *branch = program_->row(*pass.scratch, Buffer::branch, t);
        for (int i = 0; i < width_; ++i) x[i] += gate[i] * branch[i];
    }
}

std::string GatedAddPhase::describe() const {
    return cat("add gate times branch [n, ", width_, "]");
}

void ScalePhase::run(const Pass& pass, int worker) const noexcept {
    const Share mine = share(pass.n_tokens, worker, pass.pool->n_threads());
    for (int t = mine.begin; t < mine.end; ++t) {
        float* x = program_->row(*pass.scratch, Buffer::x, t);
        for (int i = 0; i < width_; ++i) x[i] *= scale_;
    }
}

std::string ScalePhase::describe() const {
    return cat("x times ", scale_);
}

void GroupNormPhase::run(const Pass& pass, int worker) const noexcept {
    const Share mine = share(pass.n_tokens, worker, pass.pool->n_threads());
    for (int t = mine.begin; t < mine.end; ++t) {
        float* x = program_->row(*pass.scratch, at_.buffer, t) + at_.first;
        Norm norm = norm_;
        for (int g = 0; g < n_groups_; ++g, x += width_) {
            norm.apply(*pass.kernels, x, 0, x, 0, width_, 0, 1);
            if (norm.weight != nullptr) norm.weight += width_;
            if (norm.bias != nullptr) norm.bias += width_;
        }
    }
}

std::string GroupNormPhase::describe() const {
    return cat("norm of ", n_groups_, " groups of ", width_);
}

}  // namespace elver
