#include "engine/session.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "base/text.hpp"

namespace elver {

Result<std::unique_ptr<Session>> Session::make(std::shared_ptr<const Model> model, const SessionOptions& wanted) {
    if (!model->loaded())
        return Error(Status::invalid_argument, cat(model->file().name(), ": the model is not loaded yet"), "model");
    const auto options = model->effective(wanted);
    if (!options) return options.error();
    std::unique_ptr<Session> session(new Session(std::move(model)));
    auto sequence = session->model_->engine().open(sequence_options(*options));
    if (!sequence) return std::move(sequence).error();
    session->sequence_ = *std::move(sequence);
    session->context_policy_ = options->context_policy;
    session->n_keep_ = options->n_keep;
    session->cancel_token().watch(wanted.go_on, wanted.context);
    constexpr const char* names[] = {"f32", "f16", "q8_0", "q4_0"};
    const Model& m = *session->model_;
    m.log().line(LogLevel::debug, m.file().name(), ": a session of ", options->n_ctx, " positions, passes of ",
                 options->max_batch, " tokens, cache as ", names[static_cast<size_t>(*options->cache_type)]);
    return session;
}

Result<std::unique_ptr<Session>> Session::fork() const {
    std::unique_ptr<Session> session(new Session(model_));
    auto sequence = model_->engine().fork(*sequence_);
    if (!sequence) return std::move(sequence).error();
    session->sequence_ = *std::move(sequence);
    session->context_policy_ = context_policy_;
    session->n_keep_ = n_keep_;
    return session;
}

Result<void> Session::check(const Input& input, int n_past) const {
    const ModelSpec& spec = model_->spec();
    const size_t n = input.size(spec.width);
    if (auto free = model_->check_free(); !free) return free;
    for (size_t i = 0; i < input.ids.size(); ++i) {
        const int32_t id = input.ids[i];
        if (id < 0 || id >= spec.n_vocab) {
            return Error(Status::invalid_argument,
                         cat("token ", i, ": expected an id from 0 to ", spec.n_vocab - 1, ", found ", id), "ids");
        }
    }
    for (size_t i = 0; i < input.rows.size(); ++i) {
        if (!std::isfinite(input.rows[i])) {
            const size_t width = static_cast<size_t>(spec.width);
            return Error(Status::invalid_argument,
                         cat("embeddings: row ", i / width, ": expected finite numbers, found ", input.rows[i], " at ",
                             i % width),
                         "embeddings");
        }
    }
    if (n > static_cast<size_t>(n_ctx() - n_past)) {
        return Error(
            Status::context_full,
            cat("the context of ", n_ctx(), " positions holds ", n_past, "; there is no room for ", n, " more"),
            "n_ctx");
    }
    if (!spec.causal && (n_past > 0 || n > static_cast<size_t>(sequence_->options().max_batch))) {
        return Error(Status::invalid_argument,
                     cat("ids: every token of this model sees all others: expected a whole text of at most ",
                         sequence_->options().max_batch, " tokens (max_batch), found ", n, " at position ", n_past),
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

Result<void> Session::prefill(const Input& input, const OnLogits& on_logits, const Progress& progress,
                              std::optional<std::span<const size_t>> wanted) {
    const Request request(*this);
    return extend(input, on_logits, progress, wanted);
}

Result<void> Session::extend(const Input& input, const OnLogits& on_logits, const Progress& progress,
                             std::optional<std::span<const size_t>> wanted) {
    if (auto good = check_head(); !good) return good;
    if (auto good = check(input, n_past()); !good) return good;
    const size_t n = input.size(model_->spec().width);
    for (size_t i = 0; wanted && i < wanted->size(); ++i) {
        const size_t lowest = i == 0 ? 0 : (*wanted)[i - 1] + 1;
        if ((*wanted)[i] < lowest || (*wanted)[i] >= n) {
            return Error(
                Status::invalid_argument,
                cat("wanted ", i, ": expected an index from ", lowest, " to below ", n, ", found ", (*wanted)[i]),
                "wanted");
        }
    }
    if (n == 0) return {};
    Outputs outputs;
    if (on_logits) {
        outputs.take = on_logits;
        if (wanted) {
            outputs.wanted.assign(wanted->begin(), wanted->end());
        } else {
            outputs.wanted.resize(n);
            std::iota(outputs.wanted.begin(), outputs.wanted.end(), size_t{0});
        }
    }
    ++edits_;
    return model_->engine().extend(*sequence_, input, outputs, progress);
}

void Session::append(std::span<const int32_t> ids) {
    ++edits_;
    model_->engine().append(*sequence_, ids);
}

Result<Extension> Session::write(std::span<const int32_t> ids, const Outputs& outputs) {
    if (auto good = check(ids, n_past()); !good) return std::move(good).error();
    ++edits_;
    return Extension{sequence_.get(), ids, &outputs, {}, false};
}

void Session::accept() noexcept {
    ++edits_;
    model_->engine().accept(*sequence_);
}

int Session::n_keep() const noexcept {
    const bool begins = n_past() > 0 && ids().front() == model_->tokenizer().adds_bos();
    return std::max(n_keep_, begins ? 1 : 0);
}

int Session::slide() noexcept {
    const int n = n_past();
    if (context_policy_ != ContextPolicy::slide || n < n_keep() + 2 || !sequence_->rows().empty()) return 0;
    ++edits_;
    model_->engine().slide(*sequence_, n_keep());
    return n - n_past();
}

Result<void> Session::rewind(int n_past_wanted) {
    if (n_past_wanted < 0 || n_past_wanted > n_past()) {
        return Error(Status::invalid_argument, cat("rewind: expected 0 to ", n_past(), ", found ", n_past_wanted),
                     "n_past");
    }
    ++edits_;
    model_->engine().truncate(*sequence_, n_past_wanted);
    return {};
}

}  // namespace elver
