#include "runtime/session.hpp"

#include <algorithm>
#include <cstdint>

#include "base/text.hpp"

namespace elver {

Result<std::unique_ptr<Session>> Session::make(std::shared_ptr<const Model> model, const SessionOptions& wanted) {
    std::unique_ptr<Session> s(new Session());
    if (!model->loaded())
        return Error(Status::invalid_argument, cat(model->file().name(), ": the model is not loaded yet"), "model");
    const auto options = model->effective(wanted);
    if (!options) return options.error();
    s->options_ = *options;
    const auto& o = s->options_;
    auto cache = KvCache::make(model->cache_layers(), *o.cache_type, o.n_ctx, o.max_batch);
    if (!cache) return std::move(cache).error();
    s->cache_ = *std::move(cache);
    auto state = RecurrentState::make(model->state_layers());
    if (!state) return std::move(state).error();
    s->state_ = *std::move(state);
    s->scratch_ = model->executor().plan_scratch(o.max_batch, outputs_at_once, o.n_ctx);
    auto memory = AlignedBuffer::make(s->scratch_.n_bytes, "session scratch");
    if (!memory) return std::move(memory).error();
    s->scratch_memory_ = *std::move(memory);
    s->scratch_.memory = s->scratch_memory_.data();
    s->ids_.reserve(static_cast<size_t>(o.n_ctx));
    s->pos_.resize(static_cast<size_t>(o.max_batch));
    s->heads_.reserve(static_cast<size_t>(o.max_batch));
    s->outputs_.resize(outputs_at_once);
    s->cancel_.watch(wanted.go_on, wanted.context);
    s->cancel_.resume(0);
    s->model_ = std::move(model);
    return s;
}

cpu::Pass Session::make_pass(std::span<const int32_t> ids) {
    for (size_t i = 0; i < ids.size(); ++i) pos_[i] = n_past() + static_cast<int32_t>(i);
    cache_.begin_write(n_past(), static_cast<int>(ids.size()));
    segment_ = {&cache_, &state_, 0, static_cast<int>(ids.size()), n_past()};
    fault_.clear();
    cpu::Pass pass;
    pass.scratch = &scratch_;
    pass.segments = {&segment_, 1};
    pass.ids = ids.data();
    pass.pos = pos_.data();
    pass.n_rows = static_cast<int>(ids.size());
    pass.outputs = outputs_.data();
    pass.cancel = &cancel_;
    pass.stop = &stop_;
    pass.fault = &fault_;
    return pass;
}

std::span<const float> Session::row(size_t i) const noexcept {
    return {model_->executor().logits(scratch_, static_cast<int>(i)), static_cast<size_t>(model_->spec().n_vocab)};
}

bool Session::run_heads(cpu::Pass& pass, const OnLogits& on_logits, size_t first_index, bool last_is_wanted) {
    for (size_t from = 0; from < heads_.size(); from += outputs_at_once) {
        const size_t n = std::min<size_t>(outputs_at_once, heads_.size() - from);
        std::copy_n(heads_.begin() + static_cast<std::ptrdiff_t>(from), n, outputs_.begin());
        pass.n_outputs = static_cast<int>(n);
        if (!model_->executor().run_head(pass)) return false;
        for (size_t i = 0; i < n; ++i) {
            if (on_logits && (last_is_wanted || from + i + 1 < heads_.size()))
                on_logits(first_index + static_cast<size_t>(outputs_[i]), row(i));
            if (cancel_.cancelled()) return false;
        }
    }
    return true;
}

Result<void> Session::check(std::span<const int32_t> ids, int n_past) const {
    const ModelSpec& spec = model_->spec();
    if (model_->pool().inside()) {
        return Error(
            Status::busy,
            "called from a function that a pass of the same model asks whether to go on: the pass must end first",
            "session");
    }
    for (size_t i = 0; i < ids.size(); ++i) {
        if (ids[i] < 0 || ids[i] >= spec.n_vocab) {
            return Error(Status::invalid_argument,
                         cat("token ", i, ": expected an id from 0 to ", spec.n_vocab - 1, ", found ", ids[i]), "ids");
        }
    }
    if (ids.size() > static_cast<size_t>(n_ctx() - n_past)) {
        return Error(Status::context_full,
                     cat("the context of ", n_ctx(), " positions holds ", n_past, "; there is no room for ", ids.size(),
                         " more"),
                     "n_ctx");
    }
    if (!spec.causal && (n_past > 0 || ids.size() > static_cast<size_t>(options_.max_batch))) {
        return Error(Status::invalid_argument,
                     cat("ids: every token of this model sees all others: expected a whole text of at most ",
                         options_.max_batch, " tokens (max_batch), found ", ids.size(), " at position ", n_past),
                     "ids");
    }
    return {};
}

Result<void> Session::check_head() const {
    if (model_->spec().has_head) return {};
    return Error(
        Status::unsupported,
        cat(model_->file().name(), ": ", model_->spec().architecture, " gives embeddings; logits are not supported"),
        "model");
}

Error Session::stopped() const {
    if (fault_.raised())
        return Error(Status::bad_file, cat(model_->file().name(), ": ", fault_.text()), model_->file().name());
    return Error(Status::cancelled, cat("cancelled at position ", n_past()), "session");
}

Result<void> Session::prefill(std::span<const int32_t> ids, const OnLogits& on_logits, const Progress& progress,
                              std::optional<std::span<const size_t>> wanted) {
    const Request request(*this);
    return extend(ids, on_logits, progress, wanted);
}

Result<void> Session::extend(std::span<const int32_t> ids, const OnLogits& on_logits, const Progress& progress,
                             std::optional<std::span<const size_t>> wanted) {
    if (auto good = check_head(); !good) return good;
    if (auto good = check(ids, n_past()); !good) return good;
    for (size_t i = 0; wanted && i < wanted->size(); ++i) {
        const size_t lowest = i == 0 ? 0 : (*wanted)[i - 1] + 1;
        if ((*wanted)[i] < lowest || (*wanted)[i] >= ids.size()) {
            return Error(Status::invalid_argument,
                         cat("wanted ", i, ": expected an index from ", lowest, " to below ", ids.size(), ", found ",
                             (*wanted)[i]),
                         "wanted");
        }
    }
    if (ids.empty()) return {};
    logits_ = {};
    ++edits_;
    size_t next_wanted = 0;
    for (size_t at = 0; at < ids.size();) {
        size_t n = std::min(static_cast<size_t>(options_.max_batch), ids.size() - at);
        // A recurrent state before the last token lets another answer to the same text begin there.
        if (!state_.empty() && n > 1 && at + n == ids.size()) --n;
        const auto batch = ids.subspan(at, n);
        const bool last = at + batch.size() == ids.size();
        cpu::Pass pass = make_pass(batch);
        if (cancel_.cancelled() || !model_->executor().run_body(pass)) return stopped();
        heads_.clear();
        for (size_t i = 0; on_logits && i < batch.size(); ++i) {
            if (wanted && (next_wanted == wanted->size() || (*wanted)[next_wanted] != at + i)) continue;
            heads_.push_back(static_cast<int32_t>(i));
            ++next_wanted;
        }
        // The logits after the last token stay, wanted or not.
        const auto end = static_cast<int32_t>(batch.size()) - 1;
        const bool last_is_wanted = !heads_.empty() && heads_.back() == end;
        if (last && !last_is_wanted) heads_.push_back(end);
        if (!run_heads(pass, on_logits, at, last_is_wanted || !last)) return stopped();
        ids_.insert(ids_.end(), batch.begin(), batch.end());
        state_.commit(n_past(), n > 1);
        if (last) logits_ = row(static_cast<size_t>(pass.n_outputs) - 1);
        at += batch.size();
        if (progress && !progress(static_cast<double>(at) / static_cast<double>(ids.size())) && !last) return stopped();
    }
    return {};
}

int Session::nearest_rewind(int n_past_wanted) const noexcept {
    const int nearest = state_.nearest(n_past_wanted);
    return cache_.holds(nearest, nearest) ? nearest : 0;
}

Result<void> Session::rewind(int n_past_wanted) {
    if (n_past_wanted < 0 || n_past_wanted > n_past()) {
        return Error(Status::invalid_argument, cat("rewind: expected 0 to ", n_past(), ", found ", n_past_wanted),
                     "n_past");
    }
    const int nearest = nearest_rewind(n_past_wanted);
    if (nearest != n_past_wanted) {
        return Error(Status::unsupported,
                     cat("rewind to ", n_past_wanted, ": what is needed there is gone (sliding windows and recurrent ",
                         "layers keep little); rewind to ", nearest, " and prefill from there"),
                     "n_past");
    }
    ++edits_;
    state_.go_back(n_past_wanted);
    ids_.resize(static_cast<size_t>(n_past_wanted));
    logits_ = {};
    return {};
}

}  // namespace elver
