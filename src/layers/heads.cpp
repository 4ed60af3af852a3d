#include <algorithm>
#include <cstring>

#include "base/text.hpp"
#include "layers/layers.hpp"

namespace elver {

CopyPhase::CopyPhase(Program& program, std::vector<Block> blocks) : program_(&program), blocks_(std::move(blocks)) {
    for (const Block& b : blocks_) program.widths.need(b.to.buffer, b.to.first + (b.n - 1) * b.to_stride + b.width);
}

void CopyPhase::run(const Pass& pass, int worker) const noexcept {
    const Share mine = share(pass.n_tokens, worker, pass.pool->n_threads());
    for (int t = mine.begin; t < mine.end; ++t) {
        for (const Block& b : blocks_) {
            const float* from = program_->row(*pass.scratch, b.from.buffer, t) + b.from.first;
            float* to = program_->row(*pass.scratch, b.to.buffer, t) + b.to.first;
            for (int i = 0; i < b.n; ++i, from += b.from_stride, to += b.to_stride)
                std::memcpy(to, from, static_cast<size_t>(b.width) * sizeof(float));
        }
    }
}

std::string CopyPhase::describe() const {
    std::string out = "copy";
    for (const Block& b : blocks_) out += cat(" [", b.n, ", ", b.width, "]");
    return out;
}

HeadLinearPhase::HeadLinearPhase(Program& program, Config config) : program_(&program), config_(std::move(config)) {
    const PackedMatrix& m = config_.heads.front();
    k_ = m.k;
    n_rows_ = m.n_rows;
    program.widths.need(config_.to.buffer,
                        config_.to.first + static_cast<int>(config_.heads.size() - 1) * config_.to_stride + n_rows_);
    // A worker's row and what a head makes of it lie side by side.
    program.widths.max_k = std::max(program.widths.max_k, result_at() + m.n_groups() * 16);
}

void HeadLinearPhase::run(const Pass& pass, int worker) const noexcept {
    const Config& c = config_;
    const Scratch& s = *pass.scratch;
    std::byte* own = program_->worker_memory(s, worker);
    float* row = reinterpret_cast<float*>(own);
    const QuantizedActs acts = place_acts(own + s.worker_acts_at, 1, static_cast<size_t>(k_));
    MatmulArgs args{};
    args.k = k_;
    args.n_rows = n_rows_;
    args.n = 1;
    args.acts = acts;
    args.x = row;
    args.y = row + result_at();
    args.scale = 1.0f;
    args.scratch = reinterpret_cast<float*>(own + s.worker_kernel_at);
    args.group_end = c.heads.front().n_groups();
    const Share mine = share(static_cast<int>(c.heads.size()), worker, pass.pool->n_threads());
    for (int h = mine.begin; h < mine.end && !pass.cancelled(worker); ++h) {
        const PackedMatrix& m = c.heads[static_cast<size_t>(h)];
        args.pack = m.data;
        for (int t = 0; t < pass.n_tokens; ++t) {
            std::memcpy(row, program_->row(s, c.from.buffer, t) + c.from.first + h * c.from_stride,
                        static_cast<size_t>(k_) * sizeof(float));
            if (pass.kernels->reads_packs && k_ % 32 == 0) pass.kernels->quantize({row, 0, 1, k_, 0, 1, acts});
            m.matmul(args);
            std::memcpy(program_->row(s, c.to.buffer, t) + c.to.first + h * c.to_stride, args.y,
                        static_cast<size_t>(n_rows_) * sizeof(float));
        }
    }
}

size_t HeadLinearPhase::weight_bytes() const noexcept {
    size_t total = 0;
    for (const PackedMatrix& m : config_.heads) total += m.n_bytes;
    return total;
}

std::string HeadLinearPhase::describe() const {
    return cat(config_.heads.size(), " heads: each ", dtype_name(config_.heads.front().type), " [", n_rows_, ", ", k_,
               "], ", weight_bytes(), " bytes");
}

}  // namespace elver
