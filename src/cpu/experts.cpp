#include "cpu/experts.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/checked.hpp"
#include "cpu/router.hpp"

namespace elver::cpu {

namespace {}  // namespace

void sort_pairs(const SortedPairs& s, const int32_t* ids) noexcept {
    std::fill_n(s.first, s.n_experts + 1, 0);
    for (int p = 0; p < s.n_pairs; ++p) ++s.first[ids[p]];
    for (int e = 0, row = 0; e <= s.n_experts; ++e) row += std::exchange(s.first[e], row);
    for (int p = 0; p < s.n_pairs; ++p) {
        s.row[p] = s.first[ids[p]]++;
        s.pair[s.row[p]] = p;
    }
    for (int e = s.n_experts; e > 0; --e) s.first[e] = s.first[e - 1];
    s.first[0] = 0;
}

size_t sorted_acts_bytes(ActForms forms, size_t n_pairs, int k) noexcept {
    return n_pairs * acts_bytes(forms, 1, static_cast<size_t>(k));
}

Acts SortedRows::acts_of(const SortedPairs& pairs, int expert) const noexcept {
    const auto columns = static_cast<size_t>(k), first = static_cast<size_t>(pairs.first[expert]);
    std::byte* const at = acts + first * acts_bytes(forms, 1, columns);
    return PlacedActs(at, forms, static_cast<size_t>(pairs.n_rows(expert)), columns).acts;
}

void quantize_sorted(const KernelTable& kernels, const SortedPairs& pairs, const SortedRows& in, Share rows) noexcept {
    const size_t stride = graph::padded_row(in.k);
    for (int e = 0; e < pairs.n_experts; ++e) {
        const int first = pairs.first[e], n = pairs.n_rows(e);
        const int begin = std::max(rows.begin - first, 0), end = std::min(rows.end - first, n);
        if (begin >= end) continue;
        kernels.quantize(
            {in.x + static_cast<size_t>(first) * stride, stride, n, in.k, begin, end, in.acts_of(pairs, e)});
    }
}

// What experts' first products read, and their last.
struct ExpertForms {
    ActForms in, hidden;

    ExpertForms(const graph::Experts& op, const KernelTable& kernels) noexcept {
        for (const auto& expert : op.experts) {
            in.add(kernels.form(expert.up.type));
            if (expert.gate.there()) in.add(kernels.form(expert.gate.type));
            hidden.add(kernels.form(expert.down.type));
        }
    }
};

ExpertsMemory place_experts(const graph::Experts& op, const KernelTable& kernels, std::byte* memory,
                            int max_rows) noexcept {
    const int width = op.experts.front().up.k, hidden = op.experts.front().up.n_rows;
    const auto n_experts = static_cast<size_t>(op.router.n_experts),
               n_pairs = static_cast<size_t>(max_rows) * static_cast<size_t>(op.router.top_k);
    ExpertsMemory s;
    const auto take = [&](size_t n_bytes) {
        std::byte* at = memory == nullptr ? nullptr : memory + s.n_bytes;
        s.n_bytes += round_up(n_bytes, 64);
        return at;
    };
    s.ids = reinterpret_cast<int32_t*>(take(n_pairs * sizeof(int32_t)));
    s.weights = reinterpret_cast<float*>(take(n_pairs * sizeof(float)));
    s.pairs.n_experts = op.router.n_experts;
    s.pairs.row = reinterpret_cast<int32_t*>(take(n_pairs * sizeof(int32_t)));
    s.pairs.pair = reinterpret_cast<int32_t*>(take(n_pairs * sizeof(int32_t)));
    s.pairs.first = reinterpret_cast<int32_t*>(take((n_experts + 1) * sizeof(int32_t)));
    s.rows = reinterpret_cast<float*>(take(n_pairs * graph::padded_row(width) * sizeof(float)));
    s.hidden = reinterpret_cast<float*>(take(n_pairs * graph::padded_row(hidden) * sizeof(float)));
    const ExpertForms forms(op, kernels);
    s.acts =
        take(std::max(sorted_acts_bytes(forms.in, n_pairs, width), sorted_acts_bytes(forms.hidden, n_pairs, hidden)));
    return s;
}

namespace {

// A sparse FFN as one worker runs it.
class SparseFfn {
  public:
    SparseFfn(const Step& step, const graph::Experts& op) noexcept
        : step_(step),
          op_(op),
          width_(op.experts.front().up.k),
          hidden_(op.experts.front().up.n_rows),
          top_k_(op.router.top_k),
          forms_(op, step.kernels()),
          m_(place_experts(op, step.kernels(), step.shared(), step.pass.scratch->max_rows)) {
        m_.pairs.n_pairs = step.pass.n_rows * top_k_;
    }

    void run() noexcept {
        const int n = step_.pass.n_rows;
        const Share tokens = step_.share(n), pairs = step_.share(n * top_k_);
        if (n == 1) {  // less work than barriers between would cost
            if (step_.worker == 0) {
                choose({0, 1});
                normalise({0, 1});
                sort_pairs(m_.pairs, m_.ids);
                gather({0, top_k_});
            }
        } else {
            choose(tokens);
            normalise(tokens);
            step_.barrier();
            if (step_.worker == 0) sort_pairs(m_.pairs, m_.ids);
            step_.barrier();
            gather(pairs);
        }
        step_.barrier();
        multiply_in();
        step_.barrier();
        probe(m_.hidden, hidden_, true, pairs);
        quantize_sorted(step_.kernels(), m_.pairs, hidden_rows(), pairs);
        step_.barrier();
        multiply_out();
        step_.barrier();
        combine(tokens);
    }

  private:
    SortedRows input_rows() const noexcept { return {m_.rows, width_, m_.acts, forms_.in}; }
    SortedRows hidden_rows() const noexcept { return {m_.hidden, hidden_, m_.acts, forms_.hidden}; }

    void choose(Share tokens) const noexcept {
        const auto first = static_cast<size_t>(tokens.begin) * static_cast<size_t>(top_k_);
        const RouterFault fault = route(op_.router, step_.vector(op_.choice_bias), tokens.end - tokens.begin,
                                        step_.row(op_.logits, tokens.begin), step_.stride(op_.logits), m_.ids + first,
                                        m_.weights + first, step_.own().kernel);
        if (fault.token < 0) return;
        const int row = tokens.begin + fault.token;
        step_.pass.fault->raise("layer %d: the router's logit of expert %d at position %d is not a finite number: %g",
                                op_.layer, fault.expert, step_.pass.pos[row],
                                static_cast<double>(step_.row(op_.logits, row)[fault.expert]));
    }

    void normalise(Share tokens) const noexcept {
        const NormWeights norm = step_.norm(op_.norm);
        for (int t = tokens.begin; t < tokens.end; ++t)
            norm.apply(step_.kernels(), step_.row(op_.input, t), step_.row(op_.normed, t), width_);
    }

    void gather(Share pairs) const noexcept {
        for (int row = pairs.begin; row < pairs.end; ++row) {
            float* to = m_.rows + static_cast<size_t>(row) * graph::padded_row(width_);
            const int pair = m_.pairs.pair[row];
            std::memcpy(to, step_.row(op_.normed, pair / top_k_), static_cast<size_t>(width_) * sizeof(float));
            if (op_.weighs_input) {
                for (int c = 0; c < width_; ++c) to[c] *= m_.weights[pair];
            }
        }
        probe(m_.rows, width_, false, pairs);
        quantize_sorted(step_.kernels(), m_.pairs, input_rows(), pairs);
    }

    void probe(const float* rows, int k, bool down, Share pairs) const noexcept {
        for (int row = pairs.begin; step_.pass.probe != nullptr && row < pairs.end; ++row) {
            const int pair = m_.pairs.pair[row];
            step_.probe(pair / top_k_, m_.ids[pair], down, rows + static_cast<size_t>(row) * graph::padded_row(k), k);
        }
    }

    ExpertsArgs products(const SortedRows& in, float* y, int y_width) const noexcept {
        return {&step_.kernels(),           &step_.pool(),      &m_.pairs,        in, y,
                graph::padded_row(y_width), step_.own().kernel, step_.pass.cancel};
    }

    void multiply_in() const noexcept {
        multiply_sorted(products(input_rows(), m_.hidden, hidden_), step_.worker, [&](int e) {
            const auto& expert = op_.experts[static_cast<size_t>(e)];
            ExpertProducts out;
            if (expert.gate.there()) out.add(step_.matrix(expert.gate), step_.vector(expert.gate_bias), Finish::store);
            out.add(step_.matrix(expert.up), step_.vector(expert.up_bias), op_.finish);
            return out;
        });
    }

    void multiply_out() const noexcept {
        multiply_sorted(products(hidden_rows(), m_.rows, width_), step_.worker, [&](int e) {
            const auto& expert = op_.experts[static_cast<size_t>(e)];
            ExpertProducts out;
            out.add(step_.matrix(expert.down), step_.vector(expert.down_bias), Finish::store);
            return out;
        });
    }

    void combine(Share tokens) const noexcept {
        const auto width = static_cast<size_t>(width_), top_k = static_cast<size_t>(top_k_);
        for (int t = tokens.begin; t < tokens.end; ++t) {
            const size_t pair = static_cast<size_t>(t) * top_k;
            const auto row = [&](size_t i) {
                return m_.rows + static_cast<size_t>(m_.pairs.row[pair + i]) * graph::padded_row(width_);
            };
            // The sum is made in the row of the best expert, which this token alone reads.
            float* sum = row(0);
            const auto weight_of = [&](size_t i) { return op_.weighs_input ? 1.0f : m_.weights[pair + i]; };
            for (size_t c = 0; c < width; ++c) sum[c] *= weight_of(0);
            for (size_t i = 1; i < top_k; ++i) {
                const float* from = row(i);
                const float weight = weight_of(i);
                for (size_t c = 0; c < width; ++c) sum[c] += weight * from[c];
            }
            if (op_.shared != graph::no_buffer) {
                const float* shared = step_.row(op_.shared, t);
                float weight = 1.0f;
                if (op_.shared_gate >= 0) weight = 1.0f / (1.0f + std::exp(-step_.row(op_.logits, t)[op_.shared_gate]));
                for (size_t c = 0; c < width; ++c) sum[c] += weight * shared[c];
            }
            if (op_.sum_scale != 1.0f) {
                for (size_t c = 0; c < width; ++c) sum[c] *= op_.sum_scale;
            }
            float* out = step_.row(op_.out, t);
            if (op_.adds) {
                for (size_t c = 0; c < width; ++c) out[c] += op_.scale * sum[c];
            } else {
                std::memcpy(out, sum, width * sizeof(float));
            }
        }
    }

    const Step& step_;
    const graph::Experts& op_;
    int width_, hidden_, top_k_;
    ExpertForms forms_;
    ExpertsMemory m_;
};

}  // namespace

void run_op(const Step& step, const graph::Experts& op) noexcept {
    SparseFfn(step, op).run();
}

}  // namespace elver::cpu
