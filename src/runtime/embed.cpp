// Embeddings: hidden states pooled into one vector of unit length.
#include <algorithm>
#include <cmath>

#include "base/text.hpp"
#include "runtime/session.hpp"

namespace elver {

namespace {

// Adds hidden states in the order of the text, in double precision: the sum does not depend on the passes.
class Pool {
  public:
    Pool(Pooling pooling, int width) : pooling_(pooling), sum_(static_cast<size_t>(width)) {}

    bool wants(size_t index, size_t n) const {
        return pooling_ == Pooling::mean || index == (pooling_ == Pooling::first ? 0 : n - 1);
    }
    void add(const float* hidden) {
        for (size_t i = 0; i < sum_.size(); ++i) sum_[i] += static_cast<double>(hidden[i]);
    }
    // The mean and the sum point the same way.
    std::vector<float> unit() const {
        double square = 0;
        for (const double v : sum_) square += v * v;
        const double scale = square > 0 ? 1.0 / std::sqrt(square) : 0.0;
        std::vector<float> out;
        for (const double v : sum_) out.push_back(static_cast<float>(v * scale));
        return out;
    }

  private:
    Pooling pooling_;
    std::vector<double> sum_;
};

}  // namespace

Result<std::vector<float>> Session::embed(std::span<const int32_t> ids, Pooling pooling) {
    const ModelSpec& spec = model_->spec();
    const cpu::Executor& executor = model_->executor();
    if (ids.empty()) return Error(Status::invalid_argument, "ids: expected a text, found no tokens", "ids");
    if (auto good = check(ids, 0); !good) return std::move(good).error();
    const Request request(*this);
    if (auto done = rewind(0); !done) return std::move(done).error();
    if (pooling == Pooling::none) pooling = spec.pooling;
    if (pooling == Pooling::none) pooling = spec.causal ? Pooling::last : Pooling::mean;
    Pool pool(pooling, spec.width);
    for (size_t at = 0; at < ids.size();) {
        const auto batch = ids.subspan(at, std::min(static_cast<size_t>(options_.max_batch), ids.size() - at));
        cpu::Pass pass = make_pass(batch);
        if (cancel_.cancelled() || !executor.run_body(pass)) return stopped();
        for (size_t from = 0; from < batch.size();) {
            pass.n_outputs = 0;
            for (; from < batch.size() && pass.n_outputs < outputs_at_once; ++from) {
                if (pool.wants(at + from, ids.size()))
                    outputs_[static_cast<size_t>(pass.n_outputs++)] = static_cast<int32_t>(from);
            }
            if (pass.n_outputs == 0) break;
            if (!executor.run_hidden(pass)) return stopped();
            for (int i = 0; i < pass.n_outputs; ++i) pool.add(executor.hidden(scratch_, i));
        }
        ids_.insert(ids_.end(), batch.begin(), batch.end());
        state_.commit(n_past(), batch.size() > 1);
        at += batch.size();
    }
    auto unit = pool.unit();
    for (const float v : unit) {
        if (!std::isfinite(v)) {
            return Error(Status::bad_file,
                         cat(model_->file().name(),
                             ": the embedding of this text is not finite: the weights are damaged or overflow"),
                         model_->file().name());
        }
    }
    return unit;
}

}  // namespace elver
