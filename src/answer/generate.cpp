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
        return Error(Status::invalid_argument, cat("max_tokens: expected 0 or more, or -1, found ", options.max_tokens),
                     "max_tokens");
    for (const std::string& stop : options.stop) {
        if (stop.empty()) return Error(Status::invalid_argument, "stop: expected strings that are not empty", "stop");
    }
    return check_settings(options.sampler, n_vocab);
}

Result<Generator> Generator::make(Session& session, GenerateOptions options, int n_cached) {
    if (session.logits().empty())
        return Error(Status::invalid_argument, "generate: the session has no logits; prefill at least one token first",
                     "session");
    const Model& model = session.model();
    const int n_vocab = model.spec().n_vocab;
    if (auto checked = check_options(options, n_vocab); !checked) return std::move(checked).error();
    auto sampler = Sampler::make(options.sampler, model.kernels(), n_vocab, &model.tokenizer());
    if (!sampler) return std::move(sampler).error();
    Generator generator(session, std::move(options), *std::move(sampler));
    generator.counts_.cached = n_cached;
    return generator;
}

Generator::Generator(Session& session, GenerateOptions options, Sampler sampler)
    : session_(&session),
      options_(std::move(options)),
      sampler_(std::move(sampler)),
      row_(session.model().kernels()),
      top_(session.model().kernels()),
      stream_(session.model().tokenizer()),
      stops_(options_.stop),
      n_prompt_(session.ids().size()),
      edits_(session.edits()) {
    counts_.prompt = static_cast<int>(n_prompt_);
    if (options_.drafting != Drafting::off) {
        speculation_.read(options_.prediction);
        speculation_.read(session.ids());
    }
    if (!options_.continues) return;
    for (const int32_t id : session.ids()) stream_.follow(id);
}

GenerateEvent Generator::finish(FinishReason reason) {
    GenerateEvent event;
    event.finish = reason;
    event.counts = counts_;
    if (stops_.push(stream_.finish(), true, event.text))
        event.finish = FinishReason::stop;
    else
        stops_.finish(event.text);
    end();
    return event;
}

void Generator::end() noexcept {
    done_ = true;
    session_->cancel_token().resume(0);
}

bool Generator::push(int32_t id, std::string& out) {
    const Tokenizer& tokenizer = session_->model().tokenizer();
    if (tokenizer.is_control(id)) return stops_.push(tokenizer.bytes(id, true), false, out);
    return stops_.push(stream_.push(id), true, out);
}

Result<GenerateEvent> Generator::next() {
    if (done_) return Error(Status::invalid_argument, "generate: the answer has ended already", "session");
    if (!goes_on())
        return Error(Status::invalid_argument, "generate: another call in the session has ended the answer", "session");
    if (options_.max_tokens >= 0 && counts_.generated >= options_.max_tokens) return finish(FinishReason::length);
    if (session_->cancel_token().cancelled()) return finish(FinishReason::cancelled);
    const auto ends = advance();
    if (!ends) return ends.error();
    return *ends == FinishReason::none ? choose() : finish(*ends);
}

Result<FinishReason> Generator::advance() {
    if (pending_ < 0) return FinishReason::none;
    const auto drafted = session_->drafted();
    if (!drafted.empty() && drafted.front() == pending_) {
        session_->accept();
        ++counts_.accepted;
    } else {
        if (session_->n_past() >= session_->n_ctx()) {
            const auto n_keep = static_cast<size_t>(session_->n_keep());
            const auto n_dropped = static_cast<size_t>(session_->slide());
            edits_ = session_->edits();
            if (n_dropped == 0) return FinishReason::length;
            n_prompt_ -= std::min(n_prompt_ - std::min(n_prompt_, n_keep), n_dropped);
        }
        const auto computed = session_->write({&pending_, 1}, guess(), options_.drafting == Drafting::always);
        if (!computed) {
            edits_ = session_->edits();
            if (computed.error().status() == Status::cancelled) return FinishReason::cancelled;
            return computed.error();
        }
        counts_.drafted += static_cast<int>(session_->drafted().size());
    }
    edits_ = session_->edits();
    pending_ = -1;
    return FinishReason::none;
}

// Tokens that may follow the pending one. Behind one that would end the answer nothing is wanted.
std::span<const DraftToken> Generator::guess() {
    if (options_.drafting == Drafting::off) return {};
    constexpr float unlikely = 0.02f;
    const int left = options_.max_tokens < 0 ? most_drafted : options_.max_tokens - counts_.generated - 1;
    const auto guesses =
        speculation_.guess(std::min(left, most_drafted), options_.drafting == Drafting::always ? 0 : unlikely);
    const Tokenizer& tokenizer = session_->model().tokenizer();
    const auto end = std::find_if(guesses.begin(), guesses.end(), [&](const DraftToken& token) {
        return !options_.ignore_end && tokenizer.is_end(token.id);
    });
    return guesses.first(static_cast<size_t>(end - guesses.begin()));
}

Result<GenerateEvent> Generator::choose() {
    row_.read(session_->logits());
    if (!row_.sound()) {
        return Error(Status::bad_file,
                     cat(session_->model().file().name(), ": the logits after position ", session_->n_past() - 1,
                         " are not numbers; the file's weights may be damaged"),
                     "logits");
    }
    const int32_t id = sampler_.sample(row_, {session_->ids(), n_prompt_});
    GenerateEvent event;
    if (!options_.ignore_end && session_->model().tokenizer().is_end(id)) {
        // A stop string may end with the token that ends the answer.
        std::string before;
        const bool stopped = stops_.push(session_->model().tokenizer().bytes(id, true), false, before);
        if (!stopped) event = finish(FinishReason::stop);
        event.text.insert(0, before);
        event.finish = FinishReason::stop;
        event.counts = counts_;
        end();
        return event;
    }
    event.id = pending_ = id;
    if (options_.drafting != Drafting::off) speculation_.follow(id);
    if (options_.top_logprobs >= 0) {
        event.logprob = logprob_of(row_, id);
        event.top = top_logprobs(row_, options_.top_logprobs, top_);
    }
    ++counts_.generated;
    event.counts = counts_;
    if (push(id, event.text)) {
        end();
        event.finish = FinishReason::stop;
    }
    return event;
}

Result<int> prefill_reusing(Session& session, std::span<const int32_t> ids, const Progress& progress) {
    if (ids.empty()) return Error(Status::invalid_argument, "the prompt has no tokens", "prompt");
    if (ids.size() > static_cast<size_t>(session.n_ctx())) {
        return Error(
            Status::context_full,
            cat("the prompt of ", ids.size(), " tokens is longer than the context of ", session.n_ctx(), " positions"),
            "prompt");
    }
    if (auto good = session.check_head(); !good) return std::move(good).error();
    if (auto good = session.check(ids, 0); !good) return std::move(good).error();
    const auto past = session.ids();
    size_t same = static_cast<size_t>(
        std::mismatch(past.begin(), past.begin() + static_cast<std::ptrdiff_t>(std::min(past.size(), ids.size())),
                      ids.begin())
            .first -
        past.begin());
    same = std::min(same, ids.size() - 1);  // the last token's logits are wanted
    if (same < past.size()) {
        if (auto done = session.rewind(static_cast<int>(same)); !done) return std::move(done).error();
    }
    const uint64_t before = session.n_passed();
    if (auto done = session.extend(ids.subspan(same), {}, progress); !done) return std::move(done).error();
    const uint64_t computed = session.n_passed() - before;
    return static_cast<int>(ids.size() - std::min<uint64_t>(computed, ids.size()));
}

}  // namespace elver
