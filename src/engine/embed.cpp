// Embeddings: hidden states pooled into one vector of unit length.
#include <algorithm>
#include <cmath>

#include "base/text.hpp"
#include "engine/session.hpp"

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

Result<std::vector<float>> Session::embed(const Input& input, Pooling pooling, const Progress& progress) {
    const ModelSpec& spec = model_->spec();
    const size_t n = input.size(spec.width);
    if (n == 0) return Error(Status::invalid_argument, "input: expected a text, found no tokens", "input");
    if (auto good = check(input, 0); !good) return std::move(good).error();
    const Request request(*this);
    if (auto done = rewind(0); !done) return std::move(done).error();
    if (pooling == Pooling::none) pooling = spec.pooling;
    if (pooling == Pooling::none) pooling = spec.causal ? Pooling::last : Pooling::mean;
    Pool pool(pooling, spec.width);
    Outputs outputs;
    outputs.of = Outputs::Of::hidden;
    outputs.keeps_logits = false;
    outputs.take = [&pool](size_t, std::span<const float> hidden) { pool.add(hidden.data()); };
    for (size_t i = 0; i < n; ++i) {
        if (pool.wants(i, n)) outputs.wanted.push_back(i);
    }
    if (auto done = model_->engine().extend(*sequence_, input, outputs, progress); !done)
        return std::move(done).error();
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
