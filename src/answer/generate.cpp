#include "answer/generate.hpp"

#include <algorithm>
#include <utility>

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
    auto generator = begin(session, session.ids(), std::move(options));
    if (!generator) return generator;
    generator->counts_.cached = n_cached;
    return generator;
}

Result<Generator> Generator::begin(Session& session, std::span<const int32_t> prompt, GenerateOptions options) {
    const Model& model = session.model();
    const int n_vocab = model.spec().n_vocab;
    if (auto checked = check_options(options, n_vocab); !checked) return std::move(checked).error();
    auto sampler = Sampler::make(options.sampler, model.kernels(), n_vocab, &model.tokenizer());
    if (!sampler) return std::move(sampler).error();
    return Generator(session, prompt, std::move(options), *std::move(sampler));
}

Generator::Generator(Session& session, std::span<const int32_t> prompt, GenerateOptions options, Sampler sampler)
    : session_(&session),
      options_(std::move(options)),
      sampler_(std::move(sampler)),
      row_(session.model().kernels()),
      top_(session.model().kernels()),
      stream_(session.model().tokenizer()),
      stops_(options_.stop),
      n_prompt_(prompt.size()),
      edits_(session.edits()) {
    counts_.prompt = static_cast<int>(n_prompt_);
    if (options_.drafting != Drafting::off) {
        speculation_.read(options_.prediction);
        speculation_.read(prompt);
        draft_ = DraftModel::make(session.model(), session.options().n_ctx);
    }
    if (!options_.continues) return;
    for (const int32_t id : prompt) stream_.follow(id);
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
    Extension work;
    if (auto event = begin_next(work)) return *std::move(event);
    work.result = session_->model().engine().extend(*work.sequence, work.ids, *work.outputs, {});
    work.computed = bool(work.result);
    return end_next(work);
}

std::optional<Result<GenerateEvent>> Generator::begin_next(Extension& work) {
    if (done_) return Error(Status::invalid_argument, "generate: the answer has ended already", "session");
    if (!goes_on())
        return Error(Status::invalid_argument, "generate: another call in the session has ended the answer", "session");
    if (options_.max_tokens >= 0 && counts_.generated >= options_.max_tokens) return finish(FinishReason::length);
    if (session_->cancel_token().cancelled()) {
        if (unread_) return fail_reading(Error(Status::cancelled, "", ""));
        return finish(FinishReason::cancelled);
    }
    std::span<const int32_t> ids;
    outputs_.drafts = {};
    if (pending_ >= 0) {
        const auto drafted = session_->drafted();
        if (!drafted.empty() && drafted.front() == pending_) {
            session_->accept();
            edits_ = session_->edits();
            pending_ = -1;
            ++counts_.accepted;
            return tell();
        }
        if (session_->n_past() >= session_->n_ctx()) {
            const auto n_keep = static_cast<size_t>(session_->n_keep());
            const auto n_dropped = static_cast<size_t>(session_->slide());
            edits_ = session_->edits();
            if (n_dropped == 0) return finish(FinishReason::length);
            n_prompt_ -= std::min(n_prompt_ - std::min(n_prompt_, n_keep), n_dropped);
        }
        ids = {&pending_, 1};
        outputs_.drafts = guess();
        outputs_.all_drafts = options_.drafting == Drafting::always;
    } else if (!unread_ && !session_->logits().empty()) {
        return tell();
    }
    // A choice that fails here is made, and fails, when it is told.
    outputs_.ready = [this](std::span<const float> logits) {
        try {
            choose(logits);
        } catch (...) {
            choice_.reset();
        }
    };
    auto begun = session_->write(ids, outputs_);
    edits_ = session_->edits();
    if (!begun) return std::move(begun).error();
    work = *std::move(begun);
    return {};
}

Result<GenerateEvent> Generator::end_next(const Extension& work) {
    if (!work.result) {
        if (unread_) return fail_reading(work.result.error());
        if (work.result.error().status() == Status::cancelled) return finish(FinishReason::cancelled);
        return work.result.error();
    }
    if (!work.computed) {
        GenerateEvent event;
        if (unread_) counts_.unread = session_->n_past() - session_->n_computed();
        event.counts = counts_;
        return event;
    }
    if (pending_ >= 0) counts_.drafted += static_cast<int>(session_->drafted().size());
    if (unread_) {
        const uint64_t passed = session_->n_passed() - unread_->n_passed;
        counts_.cached = counts_.prompt - static_cast<int>(std::min(passed, uint64_t(counts_.prompt)));
        counts_.unread = 0;
        unread_.reset();
    }
    pending_ = -1;
    return tell();
}

// The end of an answer whose prompt was not computed to its end.
Result<GenerateEvent> Generator::fail_reading(const Error& error) {
    const bool cancelled = error.status() == Status::cancelled;
    const int base = std::exchange(unread_, {})->base;
    if (auto done = session_->rewind(cancelled ? std::max(base, session_->n_computed()) : base); !done)
        return std::move(done).error();
    edits_ = session_->edits();
    if (cancelled) return finish(FinishReason::cancelled);
    end();
    return error;
}

// Tokens that may follow the pending one. Behind one that would end the answer nothing is wanted.
std::span<const DraftToken> Generator::guess() {
    if (options_.drafting == Drafting::off) return {};
    constexpr float unlikely = 0.02f;
    const bool always = options_.drafting == Drafting::always;
    const int left = options_.max_tokens < 0 ? most_drafted : options_.max_tokens - counts_.generated - 1;
    const int most = std::min({left, most_drafted, session_->n_ctx() - session_->n_past() - 1});
    auto guesses = speculation_.guess(most, always ? 0 : unlikely);
    if (draft_ != nullptr && (guesses.empty() || guesses.front().chance < draft_->usual())) {
        text_.assign(session_->ids().begin(), session_->ids().end());
        text_.push_back(pending_);
        const auto drafted =
            draft_->guess(text_, most, session_->model().engine().seconds_of_token(), always, session_->cancel_token());
        if (!drafted.empty()) guesses = drafted;
    }
    const Tokenizer& tokenizer = session_->model().tokenizer();
    const auto end = std::find_if(guesses.begin(), guesses.end(), [&](const DraftToken& token) {
        return !options_.ignore_end && tokenizer.is_end(token.id);
    });
    return guesses.first(static_cast<size_t>(end - guesses.begin()));
}

// May run on a thread of the pool. Where memory runs out no choice is made, and the sampler has drawn nothing.
void Generator::choose(std::span<const float> logits) {
    Choice choice;
    row_.read(logits);
    choice.sound = row_.sound();
    if (choice.sound) {
        choice.top = top_logprobs(row_, options_.top_logprobs, top_);
        choice.id = sampler_.sample(row_, {session_->ids(), n_prompt_});
        if (options_.top_logprobs >= 0) choice.logprob = logprob_of(row_, choice.id);
    }
    choice_ = std::move(choice);
}

Result<GenerateEvent> Generator::tell() {
    if (!choice_) choose(session_->logits());
    Choice choice = *std::exchange(choice_, {});
    if (!choice.sound) {
        return Error(Status::bad_file,
                     cat(session_->model().file().name(), ": the logits after position ", session_->n_past() - 1,
                         " are not numbers; the file's weights may be damaged"),
                     "logits");
    }
    const int32_t id = choice.id;
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
    if (draft_ != nullptr) draft_->follow(id);
    event.logprob = choice.logprob;
    event.top = std::move(choice.top);
    ++counts_.generated;
    event.counts = counts_;
    if (push(id, event.text)) {
        end();
        event.finish = FinishReason::stop;
    }
    return event;
}

void step(const Model& model, std::span<StepItem> items) {
    std::vector<Extension> work;
    std::vector<StepItem*> at_work;
    work.reserve(items.size()), at_work.reserve(items.size());
    for (size_t i = 0; i < items.size(); ++i) {
        StepItem& item = items[i];
        const auto wrong = [&](const char* what) {
            return Error(Status::invalid_argument, cat("step: ", what), "items");
        };
        const auto same = [&](const StepItem& other) {
            return other.answer != nullptr && other.answer->session_ == item.answer->session_;
        };
        if (item.answer == nullptr) {
            item.event = wrong("no answer has begun");
        } else if (&item.answer->session_->model() != &model) {
            item.event = wrong("the session is of another model");
        } else if (std::any_of(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(i), same)) {
            item.event = wrong("the session is in the list twice");
        } else if (auto event = item.answer->begin_next(work.emplace_back())) {
            work.pop_back();
            item.event = *std::move(event);
        } else {
            at_work.push_back(&item);
        }
    }
    if (work.empty()) return;
    model.engine().step(work);
    for (size_t i = 0; i < work.size(); ++i) at_work[i]->event = at_work[i]->answer->end_next(work[i]);
}

// Checks a prompt, and goes back to its longest beginning that the session holds, but for its last token, whose logits
// are wanted. How long that is.
Result<size_t> Generator::reuse(Session& session, std::span<const int32_t> ids) {
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
    const auto n = static_cast<std::ptrdiff_t>(std::min(past.size(), ids.size() - 1));
    const auto same = std::mismatch(past.begin(), past.begin() + n, ids.begin()).first - past.begin();
    if (static_cast<size_t>(same) < past.size()) {
        if (auto done = session.rewind(static_cast<int>(same)); !done) return std::move(done).error();
    }
    return static_cast<size_t>(same);
}

Result<Generator> Generator::defer(Session& session, std::span<const int32_t> ids, GenerateOptions options) {
    auto generator = begin(session, ids, std::move(options));
    if (!generator) return generator;
    const auto same = reuse(session, ids);
    if (!same) return same.error();
    generator->unread_ = Unread{static_cast<int>(*same), session.n_passed()};
    session.append(ids.subspan(*same));
    generator->counts_.unread = session.n_past() - session.n_computed();
    generator->edits_ = session.edits();
    return generator;
}

Result<int> prefill_reusing(Session& session, std::span<const int32_t> ids, const Progress& progress) {
    const auto same = Generator::reuse(session, ids);
    if (!same) return same.error();
    const uint64_t before = session.n_passed();
    if (auto done = session.extend(ids.subspan(*same), {}, progress); !done) return std::move(done).error();
    const uint64_t computed = session.n_passed() - before;
    return static_cast<int>(ids.size() - std::min<uint64_t>(computed, ids.size()));
}

}  // namespace elver
