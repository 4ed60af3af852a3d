#include "runtime/session.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace elver {

Result<std::unique_ptr<Session>> Session::make(std::shared_ptr<const Model> model, const SessionOptions& wanted) {
    std::unique_ptr<Session> s(new Session());
    if (!model->loaded())
        return Error(Status::invalid_argument, cat(model->file().name(), ": the model is not loaded yet"), "model");
    if (wanted.n_ctx < 0 || wanted.max_batch < 0) {
        return Error(Status::invalid_argument,
                     cat("n_ctx and max_batch: expected 0 or more, found ", wanted.n_ctx, " and ", wanted.max_batch),
                     "n_ctx");
    }
    s->options_ = model->effective(wanted);
    const auto& o = s->options_;
    auto cache = KvCache::make(model->cache_layers(), *o.cache_type, o.n_ctx, o.max_batch);
    if (!cache) return std::move(cache).error();
    s->cache_ = *std::move(cache);
    s->scratch_ = model->program().plan_scratch(o.max_batch, outputs_at_once, model->pool().n_threads());
    auto memory = AlignedBuffer::make(s->scratch_.n_bytes, "session scratch");
    if (!memory) return std::move(memory).error();
    s->scratch_memory_ = *std::move(memory);
    s->scratch_.memory = s->scratch_memory_.data();
    s->ids_.reserve(static_cast<size_t>(o.n_ctx));
    s->pos_.resize(static_cast<size_t>(o.max_batch));
    s->outputs_.resize(outputs_at_once);
    s->model_ = std::move(model);
    return s;
}

Pass Session::make_pass(std::span<const int32_t> ids) {
    for (size_t i = 0; i < ids.size(); ++i) pos_[i] = n_past() + static_cast<int32_t>(i);
    Pass pass;
    pass.kernels = &model_->kernels();
    pass.pool = &model_->pool();
    pass.scratch = &scratch_;
    pass.cache = &cache_;
    pass.ids = ids.data();
    pass.pos = pos_.data();
    pass.outputs = outputs_.data();
    pass.n_tokens = static_cast<int>(ids.size());
    pass.n_outputs = 0;
    pass.cancel = &cancel_;
    pass.stop = &stop_;
    return pass;
}

Result<void> Session::prefill(std::span<const int32_t> ids, const OnLogits& on_logits, const Progress& progress) {
    const int n_vocab = model_->spec().n_vocab;
    for (size_t i = 0; i < ids.size(); ++i) {
        if (ids[i] < 0 || ids[i] >= n_vocab) {
            return Error(Status::invalid_argument,
                         cat("token ", i, ": expected an id from 0 to ", n_vocab - 1, ", found ", ids[i]), "ids");
        }
    }
    if (ids.size() > static_cast<size_t>(options_.n_ctx - n_past())) {
        return Error(Status::context_full,
                     cat("the context of ", options_.n_ctx, " positions holds ", n_past(), "; there is no room for ",
                         ids.size(), " more"),
                     "n_ctx");
    }
    if (!ids.empty()) logits_ = {};
    for (size_t at = 0; at < ids.size();) {
        const auto batch = ids.subspan(at, std::min(static_cast<size_t>(options_.max_batch), ids.size() - at));
        const bool last = at + batch.size() == ids.size();
        Pass pass = make_pass(batch);
        const auto cancelled = [&] {
            return Error(Status::cancelled, cat("cancelled at position ", n_past()), "session");
        };
        const auto row = [&](size_t i) {
            return std::span<const float>(model_->program().row(scratch_, Buffer::logits, static_cast<int>(i)),
                                          static_cast<size_t>(n_vocab));
        };
        if (cancel_.cancelled() || !model_->program().run_body(pass)) return cancelled();
        const size_t first = on_logits ? 0 : last ? batch.size() - 1 : batch.size();
        for (size_t from = first; from < batch.size(); from += outputs_at_once) {
            pass.n_outputs = static_cast<int>(std::min<size_t>(outputs_at_once, batch.size() - from));
            for (size_t i = 0; i < static_cast<size_t>(pass.n_outputs); ++i)
                outputs_[i] = static_cast<int32_t>(from + i);
            if (!model_->program().run_head(pass)) return cancelled();
            for (size_t i = 0; on_logits && i < static_cast<size_t>(pass.n_outputs); ++i)
                on_logits(at + from + i, row(i));
        }
        ids_.insert(ids_.end(), batch.begin(), batch.end());
        if (last) logits_ = row(static_cast<size_t>(pass.n_outputs) - 1);
        at += batch.size();
        if (progress && !progress(static_cast<double>(at) / static_cast<double>(ids.size())) && !last)
            return cancelled();
    }
    return {};
}

Result<void> Session::rewind(int n_past_wanted) {
    if (n_past_wanted < 0 || n_past_wanted > n_past()) {
        return Error(Status::invalid_argument, cat("rewind: expected 0 to ", n_past(), ", found ", n_past_wanted),
                     "n_past");
    }
    const int oldest = n_past_wanted == 0 ? 0 : cache_.oldest_rewind(n_past());
    if (n_past_wanted < oldest) {
        return Error(Status::unsupported,
                     cat("rewind to ", n_past_wanted, ": the sliding window keeps what is needed from ", oldest,
                         " on only; rewind to 0 and prefill again"),
                     "n_past");
    }
    ids_.resize(static_cast<size_t>(n_past_wanted));
    logits_ = {};
    return {};
}

}  // namespace elver
