// The generate loop: one token an event, pulled. Text comes in whole UTF-8 and never shows a part of a stop string.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "answer/draft_model.hpp"
#include "answer/logprobs.hpp"
#include "answer/sampler.hpp"
#include "answer/speculation.hpp"
#include "answer/stop_strings.hpp"
#include "engine/session.hpp"

namespace elver {

// Whether tokens are drafted (speculation.hpp): when it is expected to save time, or all that can be guessed.
enum class Drafting : uint8_t { measured, off, always };

struct GenerateOptions {
    SamplerSettings sampler;
    int max_tokens = -1;            // -1: until the text or the context ends
    std::vector<std::string> stop;  // the answer ends before the first of these; they may spell control tokens
    // The answer goes on with the prompt's text. Its first space is then a part of it, where a text of its own would
    // begin without (SentencePiece puts a space before every text).
    bool continues = false;
    bool ignore_end = false;  // go on past the tokens that end an answer
    int top_logprobs = -1;    // -1: no log-probabilities; else this many alternatives a token
    Drafting drafting = Drafting::measured;
    std::vector<int32_t> prediction;  // what the answer is expected to have much of
};

enum class FinishReason : uint8_t { none, stop, length, cancelled };
const char* finish_reason_name(FinishReason reason) noexcept;

// Of an answer so far, in tokens.
struct AnswerCounts {
    int prompt = 0;
    int unread = 0;     // of the prompt, not computed yet
    int cached = 0;     // of the prompt, not computed for it: the session or another text had them
    int generated = 0;  // chosen, the one that ends the answer aside
    int drafted = 0;    // computed before it was known whether they would be chosen
    int accepted = 0;   // of those, chosen: passes that were saved
};

struct GenerateEvent {
    std::string text;                          // may be empty: a token need not complete a character
    int32_t id = -1;                           // -1: no token, in the last event or while the prompt is read
    FinishReason finish = FinishReason::none;  // not none: the last event
    float logprob = 0;
    std::vector<TokenLogprob> top;
    AnswerCounts counts;
};

// An option out of range is an error that names it.
Result<void> check_options(const GenerateOptions& options, int n_vocab);

// Drives one session; the session stands after the last token it was given. Another call that changes the session's
// text ends the answer.
struct StepItem;

class Generator {
  public:
    // The session must have logits: prefill something first, in the request that the answer is part of. n_cached: of
    // the prompt, for the counts.
    static Result<Generator> make(Session& session, GenerateOptions options, int n_cached = 0);
    // An answer to a prompt which becomes the session's text, the longest beginning that is there already kept, and is
    // not computed yet: next() computes it first, step() piece by piece. Cancelled meanwhile, the session stands behind
    // what was computed of it; after an error it stands where the prompt goes on from what was there.
    static Result<Generator> defer(Session& session, std::span<const int32_t> ids, GenerateOptions options);

    // The next token, or the end. Cancelled: an event with that reason, the session stays usable. After the end: an
    // error.
    Result<GenerateEvent> next();
    // Whether there is more to come: it has not ended, and nothing else has changed the session's text.
    bool goes_on() const noexcept { return !done_ && edits_ == session_->edits(); }

    const AnswerCounts& counts() const noexcept { return counts_; }

    // The seed in use: the request's, or a random one.
    uint64_t seed() const noexcept { return sampler_.seed(); }

  private:
    friend void step(const Model& model, std::span<StepItem> items);
    friend Result<int> prefill_reusing(Session& session, std::span<const int32_t> ids, const Progress& progress);
    static Result<size_t> reuse(Session& session, std::span<const int32_t> ids);
    // A token that the sampler has chosen.
    struct Choice {
        bool sound = false;  // the logits were numbers
        int32_t id = -1;
        float logprob = 0;
        std::vector<TokenLogprob> top;
    };
    // The prompt of an answer that was deferred.
    struct Unread {
        int base;           // tokens of it that were there
        uint64_t n_passed;  // of the session, then
    };

    // Checks the options. The answer follows the prompt, which may be still to be computed.
    static Result<Generator> begin(Session& session, std::span<const int32_t> prompt, GenerateOptions options);
    Generator(Session& session, std::span<const int32_t> prompt, GenerateOptions options, Sampler sampler);
    void end() noexcept;
    GenerateEvent finish(FinishReason reason);
    // The next event, where no pass is needed for it. Else `work` is what the text needs.
    std::optional<Result<GenerateEvent>> begin_next(Extension& work);
    // The event, once a pass has worked.
    Result<GenerateEvent> end_next(const Extension& work);
    Result<GenerateEvent> fail_reading(const Error& error);
    std::span<const DraftToken> guess();
    void choose(std::span<const float> logits);
    Result<GenerateEvent> tell();
    // Puts a token's text into stops_, which gives what can be shown to out. True if a stop string is there.
    bool push(int32_t id, std::string& out);

    Session* session_;
    GenerateOptions options_;
    Sampler sampler_;
    LogitRow row_;
    Candidates top_;
    Detokenizer stream_;
    StopStrings stops_;
    Speculation speculation_;
    std::unique_ptr<DraftModel> draft_;  // or null
    std::vector<int32_t> text_;          // that it reads: the session's, and the pending token
    size_t n_prompt_;                    // tokens of the session's text that are the prompt's
    int32_t pending_ = -1;               // sampled, not yet part of the session's text
    std::optional<Unread> unread_;
    std::optional<Choice> choice_;  // not yet told
    Outputs outputs_;
    uint64_t edits_;  // of the session's text, as the last call here left it
    AnswerCounts counts_;
    bool done_ = false;
};

// An answer that step() brings forward, and its next event.
struct StepItem {
    Generator* answer = nullptr;
    Result<GenerateEvent> event = GenerateEvent{};
};

// Brings many answers of one model forward by the computing of a single pass, so that one thread can serve many
// sessions. Each gets its next event: a token, the end, or one with neither, while its prompt is being read (see
// counts.unread) or where the pass has not computed its token. Texts are the same as those of next(). An item that
// cannot go on has an error and holds up no other: no answer, one of another model, one that has ended, one whose
// session was in the list before. Sessions belong to the calling thread meanwhile, as in next(); others may be at work
// in other threads.
void step(const Model& model, std::span<StepItem> items);

// Puts ids into the session, keeping the longest beginning that is there already. Logits stand after the last id.
// Within a Session::Request. An error but a cancellation or a fault of the weights changes nothing. How many of the ids
// were not computed: the session or another text had them.
Result<int> prefill_reusing(Session& session, std::span<const int32_t> ids, const Progress& progress = {});

}  // namespace elver
