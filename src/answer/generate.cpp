#include "answer/generate.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace elver {

const char* finish_reason_name(FinishReason reason) noexcept {
    switch (reason) {
        case FinishReason::none:
            return "none";
        case FinishReason::stop:
            return "stop";
        case FinishReason::length:
            return "length";
        case FinishReason::cancelled:
            return "cancelled";
    }
    return "none";
}

Result<void> check_options(const GenerateOptions& options, int n_vocab) {
    if (options.top_logprobs < -1 || options.top_logprobs > 20) {
        return Error(Status::invalid_argument, cat("top_logprobs: expected 0 to 20, found ", options.top_logprobs),
                     "top_logprobs");
    }
    if (options.max_tokens < -1)
        return Error(Status::invalid_argument, cat("max_tokens: expected 0 or more, found ", options.max_tokens),
                     "max_tokens");
    for (const std::string& stop : options.stop) {
        if (stop.empty()) return Error(Status::invalid_argument, "stop: expected strings that are not empty", "stop");
    }
    const auto sampler = Sampler::make(options.sampler, n_vocab);
    return sampler ? Result<void>() : sampler.error();
}

Result<Generator> Generator::make(Session& session, GenerateOptions options) {
    if (session.logits().empty())
        return Error(Status::invalid_argument, "generate: the session has no logits; prefill at least one token first",
                     "session");
    const int n_vocab = session.model().spec().n_vocab;
    if (auto checked = check_options(options, n_vocab); !checked) return std::move(checked).error();
    auto sampler = Sampler::make(options.sampler, n_vocab);
    if (!sampler) return std::move(sampler).error();
    return Generator(session, std::move(options), *std::move(sampler));
}

GenerateEvent Generator::finish(FinishReason reason) {
    GenerateEvent event;
    event.finish = reason;
    held_ += stream_.finish();
    if (release(event.text))
        event.finish = FinishReason::stop;
    else
        event.text += held_;
    held_.clear();
    end();
    return event;
}

void Generator::end() noexcept {
    done_ = true;
    session_->cancel_token().resume(0);
}

bool Generator::release(std::string& out) {
    size_t keep = 0, found = std::string::npos;
    for (const std::string& stop : options_.stop) {
        found = std::min(found, held_.find(stop));
        // The longest end of the text that begins this stop string must wait.
        for (size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
            if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) keep = n;
        }
    }
    if (found != std::string::npos) {
        out.append(held_, 0, found);
        held_.clear();
        return true;
    }
    size_t ready = held_.size() - keep;
    // What waits is a stop string's beginning and so starts at a character only if the stop string does.
    while (ready > 0 && ready < held_.size() && (static_cast<unsigned char>(held_[ready]) & 0xc0) == 0x80) --ready;
    out.append(held_, 0, ready);
    held_.erase(0, ready);
    return false;
}

Result<GenerateEvent> Generator::next() {
    if (done_) return Error(Status::invalid_argument, "generate: the answer has ended already", "session");
    if (!goes_on())
        return Error(Status::invalid_argument, "generate: another call in the session has ended the answer", "session");
    if (options_.max_tokens >= 0 && n_generated_ >= options_.max_tokens) return finish(FinishReason::length);
    if (session_->cancel_token().cancelled()) return finish(FinishReason::cancelled);
    if (pending_ >= 0) {
        if (session_->n_past() >= session_->n_ctx()) return finish(FinishReason::length);
        const auto computed = session_->extend({&pending_, 1});
        edits_ = session_->edits();
        if (!computed) {
            if (computed.error().status() == Status::cancelled) return finish(FinishReason::cancelled);
            return computed.error();
        }
        pending_ = -1;
    }
    const auto logits = session_->logits();
    const int32_t id = sampler_.sample(logits, session_->ids());
    if (!options_.ignore_end && session_->model().tokenizer().is_end(id)) return finish(FinishReason::stop);
    GenerateEvent event;
    event.id = pending_ = id;
    if (options_.top_logprobs >= 0) {
        event.logprob = logprob_of(logits, id);
        event.top = top_logprobs(logits, options_.top_logprobs);
    }
    ++n_generated_;
    held_ += stream_.push(id);
    if (release(event.text)) {
        end();
        event.finish = FinishReason::stop;
    }
    return event;
}

Result<void> prefill_reusing(Session& session, std::span<const int32_t> ids, const Progress& progress) {
    if (ids.empty()) return Error(Status::invalid_argument, "the prompt has no tokens", "prompt");
    if (ids.size() > static_cast<size_t>(session.n_ctx())) {
        return Error(
            Status::context_full,
            cat("the prompt of ", ids.size(), " tokens is longer than the context of ", session.n_ctx(), " positions"),
            "prompt");
    }
    if (auto good = session.check_head(); !good) return good;
    if (auto good = session.check(ids, 0); !good) return good;
    const auto past = session.ids();
    size_t same = static_cast<size_t>(
        std::mismatch(past.begin(), past.begin() + static_cast<std::ptrdiff_t>(std::min(past.size(), ids.size())),
                      ids.begin())
            .first -
        past.begin());
    same = std::min(same, ids.size() - 1);  // the last token's logits are wanted
    if (same < past.size()) {
        same = static_cast<size_t>(session.nearest_rewind(static_cast<int>(same)));
        if (auto done = session.rewind(static_cast<int>(same)); !done) return done;
    }
    return session.extend(ids.subspan(same), {}, progress);
}

}  // namespace elver
