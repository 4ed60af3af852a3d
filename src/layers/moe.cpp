#include "layers/moe.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/checked.hpp"
#include "base/text.hpp"

namespace elver {

namespace {

// Quantised rows of k values, and what alignment may add for each expert.
constexpr size_t acts_row_bytes(size_t k) noexcept {
    return k + k / 32 * 28;
}
constexpr size_t acts_expert_slack = 256;

}  // namespace

MoeScratch place_moe(const MoeWidths& w, std::byte* memory, int max_tokens) noexcept {
    MoeScratch s{};
    const auto n_experts = static_cast<size_t>(w.n_experts);
    const size_t n_pairs = static_cast<size_t>(max_tokens) * static_cast<size_t>(w.top_k);
    const auto take = [&](size_t n_bytes) {
        std::byte* at = memory == nullptr ? nullptr : memory + s.n_bytes;
        s.n_bytes += round_up(n_bytes, 64);
        return at;
    };
    if (n_pairs == 0) return s;
    s.ids = reinterpret_cast<int32_t*>(take(n_pairs * sizeof(int32_t)));
    s.weights = reinterpret_cast<float*>(take(n_pairs * sizeof(float)));
    s.row = reinterpret_cast<int32_t*>(take(n_pairs * sizeof(int32_t)));
    s.pair = reinterpret_cast<int32_t*>(take(n_pairs * sizeof(int32_t)));
    s.first = reinterpret_cast<int32_t*>(take((n_experts + 1) * sizeof(int32_t)));
    s.rows = reinterpret_cast<float*>(take(n_pairs * padded_row(w.width) * sizeof(float)));
    s.hidden = reinterpret_cast<float*>(take(n_pairs * padded_row(w.hidden) * sizeof(float)));
    const size_t k = round_up(static_cast<size_t>(std::max(w.width, w.hidden)), 32);
    s.acts = take(n_pairs * acts_row_bytes(k) + (n_experts + 1) * acts_expert_slack);
    return s;
}

ExpertsPhase::ExpertsPhase(Program& program, Config config)
    : program_(&program),
      config_(std::move(config)),
      width_(config_.experts.front().up.k),
      hidden_(config_.experts.front().up.n_rows) {
    Widths& w = program.widths;
    w.need(Buffer::normed, width_);
    w.need(Buffer::router, config_.router.n_experts);
    w.need(config_.out, width_);
    w.moe.need(config_.router.n_experts, config_.router.top_k, width_, hidden_);
}

QuantizedActs ExpertsPhase::acts(const MoeScratch& s, Step step, int expert) const noexcept {
    const auto k = static_cast<size_t>(this->k(step));
    const auto first = static_cast<size_t>(s.first[expert]), n = static_cast<size_t>(s.first[expert + 1]) - first;
    return place_acts(
        s.acts + round_up(first * acts_row_bytes(k), 64) + static_cast<size_t>(expert) * acts_expert_slack, n, k);
}

void ExpertsPhase::choose(const Pass& pass, const MoeScratch& s, int worker, Share tokens) const noexcept {
    const auto first = static_cast<size_t>(tokens.begin) * static_cast<size_t>(config_.router.top_k);
    auto* scratch =
        reinterpret_cast<float*>(program_->worker_memory(*pass.scratch, worker) + pass.scratch->worker_kernel_at);
    const RouterFault fault =
        route(config_.router, tokens.end - tokens.begin, program_->row(*pass.scratch, Buffer::router, tokens.begin),
              program_->widths.stride(Buffer::router), s.ids + first, s.weights + first, scratch);
    if (fault.token < 0) return;
    const int token = tokens.begin + fault.token;
    const double logit =
        static_cast<double>(program_->row(*pass.scratch, Buffer::router, token)[static_cast<size_t>(fault.expert)]);
    pass.fault->raise("layer %d: the router's logit of expert %d at position %d is no finite number: %g", config_.layer,
                      fault.expert, pass.pos[token], logit);
}

// By expert, and by token within one.
void ExpertsPhase::sort(const Pass& pass, const MoeScratch& s) const noexcept {
    const int n_experts = config_.router.n_experts, top_k = config_.router.top_k, n_pairs = pass.n_tokens * top_k;
    std::fill_n(s.first, n_experts + 1, 0);
    for (int p = 0; p < n_pairs; ++p) ++s.first[s.ids[p]];
    for (int e = 0, row = 0; e <= n_experts; ++e) row += std::exchange(s.first[e], row);
    for (int p = 0; p < n_pairs; ++p) {
        s.row[p] = s.first[s.ids[p]]++;
        s.pair[s.row[p]] = p;
    }
    for (int e = n_experts; e > 0; --e) s.first[e] = s.first[e - 1];
    s.first[0] = 0;
}

void ExpertsPhase::gather(const Pass& pass, const MoeScratch& s, Share pairs) const noexcept {
    for (int row = pairs.begin; row < pairs.end; ++row) {
        float* to = s.rows + static_cast<size_t>(row) * stride(Step::in);
        const int pair = s.pair[row];
        std::memcpy(to, program_->row(*pass.scratch, Buffer::normed, pair / config_.router.top_k),
                    static_cast<size_t>(width_) * sizeof(float));
        if (config_.weighs_input) {
            for (int c = 0; c < width_; ++c) to[c] *= s.weights[pair];
        }
    }
    quantize(pass, s, Step::in, pairs);
}

void ExpertsPhase::quantize(const Pass& pass, const MoeScratch& s, Step step, Share pairs) const noexcept {
    if (!quantized(pass, step)) return;
    const float* rows = step == Step::in ? s.rows : s.hidden;
    for (int e = 0; e < config_.router.n_experts; ++e) {
        const int first = s.first[e], n = s.first[e + 1] - first;
        const int begin = std::max(pairs.begin - first, 0), end = std::min(pairs.end - first, n);
        if (begin >= end) continue;
        pass.kernels->quantize(
            {rows + static_cast<size_t>(first) * stride(step), stride(step), n, k(step), begin, end, acts(s, step, e)});
    }
}

void ExpertsPhase::multiply(const Pass& pass, const MoeScratch& s, Step step, int worker) const noexcept {
    const int n_experts = config_.router.n_experts;
    const auto panels = [&](int e) {
        const Expert& expert = config_.experts[static_cast<size_t>(e)];
        return step == Step::in ? Panels(expert.up.n_groups(), expert.gate.n_bytes + expert.up.n_bytes)
                                : Panels(expert.down.n_groups(), expert.down.n_bytes);
    };
    const auto n_tokens = [&](int e) { return s.first[e + 1] - s.first[e]; };
    const auto n_pieces = [&](int e) { return n_tokens(e) == 0 ? 0 : panels(e).n_pieces(n_tokens(e)); };
    int total = 0;
    for (int e = 0; e < n_experts; ++e) total += n_pieces(e);
    MatmulArgs args{};
    args.k = k(step);
    args.x_stride = stride(step);
    args.y_stride = stride(step == Step::in ? Step::out : Step::in);
    args.scale = 1.0f;
    args.scratch =
        reinterpret_cast<float*>(program_->worker_memory(*pass.scratch, worker) + pass.scratch->worker_kernel_at);
    int e = 0, before = 0;  // an expert, and the pieces of those before it
    for (int piece; (piece = pass.pool->take(worker, total)) >= 0;) {
        if (pass.cancelled(worker)) return;
        if (piece < before) e = before = 0;
        for (; piece >= before + n_pieces(e); ++e) before += n_pieces(e);
        const auto first = static_cast<size_t>(s.first[e]);
        args.n = n_tokens(e);
        if (quantized(pass, step)) args.acts = acts(s, step, e);
        args.x = (step == Step::in ? s.rows : s.hidden) + first * args.x_stride;
        args.y = (step == Step::in ? s.hidden : s.rows) + first * args.y_stride;
        panels(e).choose(piece - before, args);
        const auto product = [&](const PackedMatrix& m, const float* bias, Finish finish) {
            args.pack = m.data;
            args.n_rows = m.n_rows;
            args.bias = bias;
            args.finish = finish;
            m.matmul(args);
        };
        const Expert& expert = config_.experts[static_cast<size_t>(e)];
        if (step == Step::out) {
            product(expert.down, expert.down_bias, Finish::store);
            continue;
        }
        if (expert.gate.n_rows > 0) product(expert.gate, expert.gate_bias, Finish::store);
        product(expert.up, expert.up_bias, config_.finish);
    }
}

void ExpertsPhase::combine(const Pass& pass, const MoeScratch& s, Share tokens) const noexcept {
    const auto width = static_cast<size_t>(width_), top_k = static_cast<size_t>(config_.router.top_k);
    for (int t = tokens.begin; t < tokens.end; ++t) {
        const size_t pair = static_cast<size_t>(t) * top_k;
        const auto row = [&](size_t i) { return s.rows + static_cast<size_t>(s.row[pair + i]) * stride(Step::in); };
        // The sum is made in the row of the best expert, which this token alone reads.
        float* sum = row(0);
        const auto weight_of = [&](size_t i) { return config_.weighs_input ? 1.0f : s.weights[pair + i]; };
        for (size_t c = 0; c < width; ++c) sum[c] *= weight_of(0);
        for (size_t i = 1; i < top_k; ++i) {
            const float* from = row(i);
            const float weight = weight_of(i);
            for (size_t c = 0; c < width; ++c) sum[c] += weight * from[c];
        }
        if (config_.shared) {
            const float* shared = program_->row(*pass.scratch, Buffer::shared, t);
            float weight = 1.0f;
            if (config_.shared_gate >= 0) {
                const float logit =
                    program_->row(*pass.scratch, Buffer::router, t)[static_cast<size_t>(config_.shared_gate)];
                weight = 1.0f / (1.0f + std::exp(-logit));
            }
            for (size_t c = 0; c < width; ++c) sum[c] += weight * shared[c];
        }
        if (config_.sum_scale != 1.0f) {
            for (size_t c = 0; c < width; ++c) sum[c] *= config_.sum_scale;
        }
        float* out = program_->row(*pass.scratch, config_.out, t);
        if (config_.out == Buffer::x) {
            for (size_t c = 0; c < width; ++c) out[c] += config_.scale * sum[c];
        } else {
            std::memcpy(out, sum, width * sizeof(float));
        }
    }
}

void ExpertsPhase::run(const Pass& pass, int worker) const noexcept {
    const MoeScratch s =
        place_moe(program_->widths.moe, pass.scratch->memory + pass.scratch->moe_at, pass.scratch->max_tokens);
    const int n = pass.n_tokens, n_pairs = n * config_.router.top_k, n_workers = pass.pool->n_threads();
    const Share tokens = share(n, worker, n_workers), pairs = share(n_pairs, worker, n_workers);
    const auto normalise = [&](Share mine) {
        config_.norm.apply(*pass.kernels, program_->row(*pass.scratch, config_.input, 0),
                           program_->widths.stride(config_.input), program_->row(*pass.scratch, Buffer::normed, 0),
                           program_->widths.stride(Buffer::normed), width_, mine.begin, mine.end);
    };
    if (n == 1) {  // less work than barriers between would cost
        if (worker == 0) {
            choose(pass, s, worker, {0, 1});
            normalise({0, 1});
            sort(pass, s);
            gather(pass, s, {0, n_pairs});
        }
    } else {
        choose(pass, s, worker, tokens);
        normalise(tokens);
        pass.pool->barrier();
        if (worker == 0) sort(pass, s);
        pass.pool->barrier();
        gather(pass, s, pairs);
    }
    pass.pool->barrier();
    multiply(pass, s, Step::in, worker);
    pass.pool->barrier();
    quantize(pass, s, Step::out, pairs);
    pass.pool->barrier();
    multiply(pass, s, Step::out, worker);
    pass.pool->barrier();
    combine(pass, s, tokens);
}

size_t ExpertsPhase::weight_bytes() const noexcept {
    size_t all = 0;
    for (const Expert& e : config_.experts) all += e.gate.n_bytes + e.up.n_bytes + e.down.n_bytes;
    return all / config_.experts.size() * static_cast<size_t>(config_.router.top_k);
}

std::string ExpertsPhase::describe() const {
    const Expert& e = config_.experts.front();
    return cat("experts: norm, ", config_.router.top_k, " of ", config_.router.n_experts, ", each ",
               dtype_name(e.up.type), " [", e.up.n_rows, ", ", e.up.k, "], ", dtype_name(e.down.type), " [",
               e.down.n_rows, ", ", e.down.k, "], ", weight_bytes(), " bytes a token");
}

}  // namespace elver
