#include "script.hpp"

#include <algorithm>
#include <cstring>
#include <ostream>
#include <random>

#include "answer/logit_row.hpp"
#include "answer/sampler.hpp"
#include "base/text.hpp"

namespace elver::test {

namespace {

constexpr int longest = 600;  // positions of a text in a script
constexpr size_t most_texts = 4, most_snapshots = 4;

uint32_t mixed(uint32_t a, uint32_t b) noexcept {
    uint32_t h = a * 0x9e3779b1u ^ b * 0x85ebca77u;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    return h ^ h >> 13;
}

bool same_bits(std::span<const float> a, std::span<const float> b) noexcept {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

bool begins_with(std::span<const int32_t> text, std::span<const int32_t> beginning) noexcept {
    return beginning.size() <= text.size() && std::equal(beginning.begin(), beginning.end(), text.begin());
}

using Ids = std::vector<int32_t>;

Ids joined(Ids a, std::span<const int32_t> b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

// Whether an operation asks, while it works, if it may go on.
bool asks(Op op) noexcept {
    return op == Op::prefill || op == Op::together || op == Op::complete || op == Op::generate || op == Op::speculate ||
           op == Op::slide || op == Op::embed;
}

class Runner {
  public:
    Runner(const Setting& setting, const OpenDoor& open, Counts& counts, std::ostream* log)
        : setting_(setting),
          counts_(counts),
          log_(log),
          model_(setting.open(setting.model)),
          door_(open(model_, setting.options)),
          truth_(setting, longest + 1) {
        held_.push_back({open_text(), {}});
    }

    std::optional<Failure> run(std::span<const Step> script) {
        for (size_t i = 0; i < script.size() && wrong_.empty(); ++i) {
            step(script[i]);
            door_->cancel_at(-1);
            ++counts_.n_steps;
            for (size_t t = 0; t < held_.size() && wrong_.empty(); ++t) verify(t);
            if (!wrong_.empty()) return Failure{i, wrong_};
        }
        return {};
    }

  private:
    // A text, and what it must be.
    struct Held {
        std::unique_ptr<Text> text;
        Ids ids;

        int n_past() const { return static_cast<int>(ids.size()); }
    };
    struct Saved {
        std::vector<std::byte> bytes;
        Ids ids;
        bool has_logits;
    };

    void expect(bool holds, std::string_view what) {
        if (!holds && wrong_.empty()) wrong_ = cat(op_name(op_), ": ", what);
    }
    template <class T>
    bool expect_done(const Result<T>& result) {
        if (!result) expect(false, cat("expected to be done, found: ", result.error().message()));
        return bool(result);
    }
    template <class T>
    void expect_refused(const Result<T>& result, Status status) {
        ++counts_.ops[static_cast<size_t>(op_)].refused;
        if (result) return expect(false, "expected an error, found none");
        expect(result.error().status() == status && !result.error().message().empty(),
               cat("expected ", status_name(status), ", found ", status_name(result.error().status()), ": ",
                   result.error().message()));
    }
    template <class... Parts>
    void say(const Parts&... parts) {
        if (log_ != nullptr) *log_ << "  " << cat(parts...) << "\n";
    }
    void done() { ++counts_.ops[static_cast<size_t>(op_)].done; }

    std::unique_ptr<Text> open_text() {
        auto text = door_->open();
        if (!expect_done(text)) return nullptr;
        return *std::move(text);
    }

    int n_vocab() const { return model_->spec().n_vocab; }
    int max_batch() const { return setting_.options.max_batch; }
    int limit(const Held& h) const { return std::min(h.text->n_ctx(), longest); }

    // A number of tokens: mostly few.
    static int size_from(uint32_t a) {
        const auto rest = static_cast<int>(a >> 3);
        const int below[] = {4, 4, 4, 20, 20, 70, 150, 250};
        return rest % below[a & 7] + ((a & 7) < 3 ? 1 : 0);
    }
    // A position in a text of n tokens: mostly near its end.
    static int position_from(uint32_t a, int n) {
        const auto rest = static_cast<int>(a >> 3);
        switch (a & 7) {
            case 0:
                return rest % 8 == 0 ? 0 : rest % (n + 1);
            case 1:
                return n - std::min(n, 1);
            case 2:
            case 3:
            case 4:
                return n - std::min(n, rest % 12);
            case 5:
                return n - std::min(n, rest % 80);
            default:
                return rest % (n + 1);
        }
    }
    // n tokens from a position on. Two texts come up again and again, so that texts share more than their beginnings.
    Ids tokens(uint32_t c, int position, int n) const {
        Ids ids;
        for (int i = 0; i < n; ++i) {
            const uint32_t text = (c & 3) < 3 ? (c >> 2) % 2 : c;
            ids.push_back(static_cast<int32_t>(mixed(text, static_cast<uint32_t>(position + i)) %
                                               static_cast<uint32_t>(n_vocab())));
        }
        return ids;
    }

    // The ids after a call that was done, or was cancelled and left a beginning of what it was to make.
    void expect_ids(Held& h, const Ids& whole, bool cancelled, size_t at_least) {
        const auto found = h.text->ids();
        if (!cancelled) {
            h.ids = whole;
            done();
            return;
        }
        ++counts_.ops[static_cast<size_t>(op_)].cancelled;
        expect(begins_with(whole, found) && found.size() >= at_least,
               cat("cancelled: expected a beginning of ", whole.size(), " ids, at least ", at_least, "; found ",
                   found.size()));
        counts_.cancelled_inside += found.size() > at_least;
        h.ids.assign(found.begin(), found.end());
        say("  cancelled at position ", h.n_past());
    }
    // True if the call ended as calls may: done or, if that was asked for, cancelled.
    bool ended(const Result<void>& result, bool& cancelled) {
        cancelled = !result && result.error().status() == Status::cancelled && may_cancel_;
        return cancelled || expect_done(result);
    }

    void step(const Step& s) {
        op_ = s.op;
        Held& h = held_[s.text % held_.size()];
        had_logits_ = !h.text->logits().empty();
        may_cancel_ = s.cancel_at >= 0;
        if (log_ != nullptr) {
            *log_ << cat("text ", s.text % held_.size(), " at ", h.n_past(), ": ", op_name(op_));
            if (may_cancel_) *log_ << cat(", cancelled at question ", s.cancel_at);
            *log_ << "\n";
        }
        switch (s.op) {
            case Op::open:
                h = {open_text(), {}};
                return done();
            case Op::prefill:
                return prefill(h, s);
            case Op::together:
                return together(s);
            case Op::rewind:
                return rewind(h, s);
            case Op::complete:
                return complete(h, s);
            case Op::generate:
                return generate(h, s);
            case Op::speculate:
                return speculate(h, s);
            case Op::slide:
                return slide(h, s);
            case Op::embed:
                return embed(h, s);
            case Op::save:
                return save(h, s);
            case Op::restore:
                return restore(h, s);
            case Op::fork:
                return fork(h, s);
            case Op::wrong:
                return wrong(h, s);
            case Op::count:
                return;
        }
    }

    void prefill(Held& h, const Step& s) {
        const Ids ids = tokens(s.c, h.n_past(), std::min(size_from(s.a), limit(h) - h.n_past()));
        const bool with_rows = s.b % 2 == 0;
        say(ids.size(), " tokens", with_rows ? ", the logits of all" : "");
        std::vector<float> rows;
        door_->cancel_at(s.cancel_at);
        bool cancelled;
        if (!ended(h.text->prefill(ids, with_rows ? &rows : nullptr), cancelled)) return;
        const Ids whole = joined(h.ids, ids);
        if (!rows.empty()) {
            const size_t from = h.ids.size(), n = rows.size() / static_cast<size_t>(n_vocab());
            expect(n <= ids.size() && (cancelled || n == ids.size()),
                   cat("expected logits of ", ids.size(), ", found ", n));
            expect(same_bits(truth_.rows(std::span(whole).first(from + n), from), rows),
                   "the logits of a token differ");
        }
        expect_ids(h, whole, cancelled, h.ids.size());
        expect(cancelled || ids.empty() || !h.text->logits().empty(), "no logits");
    }

    // Each text does something: it reads on, is continued, or saved.
    void together(const Step& s) {
        std::vector<Work> all;
        for (size_t i = 0; i < held_.size(); ++i) {
            const Held& h = held_[i];
            const uint32_t own = mixed(s.a, static_cast<uint32_t>(i));
            Work w;
            w.text = h.text.get();
            if (own % 4 == 0 && !h.text->logits().empty()) {
                w.kind = Work::Kind::generate;
                w.n_tokens = length_from(h, own >> 2);
                w.settings = settings_from(own >> 6, s.b);
            } else if (own % 4 == 1) {
                w.kind = Work::Kind::save;
            } else {
                w.ids = tokens(s.c + own % 5, h.n_past(), std::min(size_from(own >> 2), limit(h) - h.n_past()));
            }
            all.push_back(std::move(w));
        }
        door_->cancel_at(s.cancel_at);
        door_->together(all);
        for (size_t i = 0; i < all.size(); ++i) {
            const Work& w = all[i];
            Held& h = held_[i];
            constexpr const char* kinds[] = {" reads ", " writes ", " is saved"};
            say("text ", i, " at ", h.n_past(), kinds[static_cast<size_t>(w.kind)],
                w.kind == Work::Kind::save ? std::string()
                                           : cat(w.ids.size() + static_cast<size_t>(w.n_tokens), " tokens"));
            bool cancelled;
            if (!ended(w.done, cancelled)) return;
            if (w.kind == Work::Kind::save) {
                if (!cancelled) keep({w.snapshot, h.ids, !h.text->logits().empty()}, i);
            } else if (w.kind == Work::Kind::generate) {
                expect_answer(h, w.n_tokens, w.settings, w.answer);
            } else {
                expect_ids(h, joined(h.ids, w.ids), cancelled, h.ids.size());
                expect(cancelled || w.ids.empty() || !w.text->logits().empty(), "no logits");
            }
        }
    }

    void rewind(Held& h, const Step& s) {
        const int to = position_from(s.a, h.n_past());
        say("to ", to);
        if (!expect_done(h.text->rewind(to))) return;
        expect(h.text->logits().empty() || to == h.n_past(), "the logits of what was taken back are still there");
        counts_.rewound_inside += to > 0 && to < h.n_past();
        h.ids.resize(static_cast<size_t>(to));
        done();
    }

    void complete(Held& h, const Step& s) {
        const int same = position_from(s.a, h.n_past());
        const int n = std::clamp(size_from(s.b), same == 0 ? 1 : 0, limit(h) - same);
        Ids ids(h.ids.begin(), h.ids.begin() + same);
        ids = joined(std::move(ids), tokens(s.c, same, n));
        say(ids.size(), " ids, ", same, " of them the text's");
        door_->cancel_at(s.cancel_at);
        bool cancelled;
        if (!ended(h.text->complete(ids), cancelled)) return;
        expect_ids(h, ids, cancelled, 0);
        expect(cancelled || !h.text->logits().empty(), "no logits");
    }

    static int length_from(const Held& h, uint32_t a) {
        return std::clamp(longest - h.n_past() - 1, 0, static_cast<int>(a % 12));
    }
    static SamplerSettings settings_from(uint32_t b, uint32_t seed) {
        SamplerSettings settings;
        settings.temperature = b % 2 == 0 ? 0.0f : 0.7f + static_cast<float>(b % 5);
        settings.top_k = b % 3 == 0 ? 5 : 0;
        settings.repetition_penalty = b % 7 == 0 ? 1.5f : 1.0f;
        settings.seed = seed;
        return settings;
    }

    void generate(Held& h, const Step& s) {
        const int n = length_from(h, s.a);
        const SamplerSettings settings = settings_from(s.b, s.c);
        say(n, " tokens at temperature ", settings.temperature);
        door_->cancel_at(s.cancel_at);
        const auto answer = h.text->generate(n, settings);
        if (h.ids.empty() || !had_logits_) return expect_refused(answer, Status::invalid_argument);
        if (expect_done(answer)) expect_answer(h, n, settings, *answer);
    }

    bool slides(const Held& h) const {
        return setting_.options.context_policy == ContextPolicy::slide && h.text->n_ctx() < INT32_MAX;
    }

    // What an answer makes of a text.
    struct Written {
        Ids ids;     // of the text: its last token is not part of it
        Ids answer;  // the tokens chosen
        size_t n_prompt;

        // As a full context slides.
        void slide(size_t n_keep) {
            const size_t n_dropped = (ids.size() - n_keep + 1) / 2;
            const auto first = ids.begin() + static_cast<std::ptrdiff_t>(n_keep);
            ids.erase(first, first + static_cast<std::ptrdiff_t>(n_dropped));
            if (n_prompt > n_keep) n_prompt -= std::min(n_prompt - n_keep, n_dropped);
        }
    };
    size_t n_keep(const Ids& ids) const {
        const bool begins = !ids.empty() && ids.front() == model_->tokenizer().adds_bos();
        return std::max(static_cast<size_t>(setting_.options.n_keep), size_t{begins});
    }

    Written written(const Held& h, int n, const SamplerSettings& settings) {
        Written w{h.ids, {}, h.ids.size()};
        auto sampler = Sampler::make(settings, model_->kernels(), n_vocab(), &model_->tokenizer());
        if (!expect_done(sampler)) return w;
        LogitRow row(model_->kernels());
        for (int i = 0; i < n; ++i) {
            if (i > 0 && static_cast<int>(w.ids.size()) == h.text->n_ctx()) {
                if (!slides(h)) break;
                w.slide(n_keep(w.ids));
                ++counts_.n_slid;
            }
            if (i > 0) w.ids.push_back(w.answer.back());
            const auto logits = truth_.after(w.ids);
            row.read(logits);
            w.answer.push_back(sampler->sample(row, {w.ids, w.n_prompt}));
        }
        return w;
    }

    void expect_answer(Held& h, int n, const SamplerSettings& settings, const Answer& answer) {
        expect(!answer.cancelled || may_cancel_, "cancelled, though nobody asked for it");
        const int found = static_cast<int>(answer.ids.size());
        Written w = written(h, answer.cancelled ? found : n, settings);
        expect(answer.ids == w.answer, cat("expected the ", w.answer.size(),
                                           " tokens that the sampler takes from these logits, found others, ", found));
        counts_.n_accepted += answer.n_accepted;
        if (!answer.cancelled) return expect_ids(h, w.ids, false, 0);
        // The text may have slid already.
        const auto ids = h.text->ids();
        if (ids.size() < w.ids.size() && static_cast<int>(w.ids.size()) == h.text->n_ctx() && slides(h))
            w.slide(n_keep(w.ids));
        expect_ids(h, w.ids, true, w.ids.size());
    }

    // An answer of which much is guessed: it repeats the prompt's end and what comes next, some of it changed.
    void speculate(Held& h, const Step& s) {
        const int n = std::clamp(longest - h.n_past() - 1, 0, static_cast<int>(s.a % 40));
        const SamplerSettings settings = settings_from(s.b, s.c);
        say(n, " tokens at temperature ", settings.temperature, ", guessed");
        Ids prediction(h.ids.end() - std::min<std::ptrdiff_t>(h.n_past(), 6), h.ids.end());
        if (had_logits_) prediction = joined(std::move(prediction), written(h, n, settings).answer);
        for (size_t i = 0; i < prediction.size(); ++i) {
            const uint32_t any = mixed(s.c, static_cast<uint32_t>(i));
            if (any % (2 + s.a / 40 % 30) == 0) prediction[i] = static_cast<int32_t>(any / 64) % n_vocab();
        }
        prediction.push_back(0);
        door_->cancel_at(s.cancel_at);
        const auto answer = h.text->generate(n, settings, prediction);
        if (h.ids.empty() || !had_logits_) return expect_refused(answer, Status::invalid_argument);
        if (expect_done(answer)) expect_answer(h, n, settings, *answer);
    }

    // An answer at the end of the context.
    void slide(Held& h, const Step& s) {
        const int n = limit(h) - h.n_past() - static_cast<int>(s.b % 4);
        if (n > 0) {
            const Ids ids = tokens(s.c, h.n_past(), n);
            if (!expect_done(h.text->prefill(ids, nullptr))) return;
            h.ids = joined(std::move(h.ids), ids);
            had_logits_ = true;
        }
        const SamplerSettings settings = settings_from(s.b, s.c);
        const int length = static_cast<int>(s.a % 24);
        const bool ends = h.text->n_ctx() <= longest;
        say(length, " tokens behind ", h.n_past(), slides(h) && ends ? ": it slides" : "");
        if (!ends) return;
        door_->cancel_at(s.cancel_at);
        const auto answer = h.text->generate(length, settings);
        if (!had_logits_) return expect_refused(answer, Status::invalid_argument);
        if (expect_done(answer)) expect_answer(h, length, settings, *answer);
    }

    void embed(Held& h, const Step& s) {
        const Ids ids = tokens(s.c, 0, std::clamp(size_from(s.a), 1, std::min(40, limit(h))));
        say(ids.size(), " tokens");
        door_->cancel_at(s.cancel_at);
        const auto found = h.text->embed(ids);
        bool cancelled;
        if (!ended(found ? Result<void>() : found.error(), cancelled)) return;
        expect(cancelled || same_bits(*found, truth_.embedding(ids)), "the embedding differs");
        expect_ids(h, ids, cancelled, 0);
        expect(h.text->logits().empty(), "logits after an embedding");
    }

    void save(Held& h, const Step& s) {
        auto bytes = h.text->save();
        if (!expect_done(bytes)) return;
        keep({*std::move(bytes), h.ids, had_logits_}, s.a);
        expect(!h.text->logits().empty() == had_logits_, "saving took the logits");
        done();
    }

    void keep(Saved snapshot, size_t place) {
        if (saved_.size() < most_snapshots)
            saved_.push_back(std::move(snapshot));
        else
            saved_[place % most_snapshots] = std::move(snapshot);
    }

    void become(Held& h, const Saved& from) {
        h.ids = from.ids;
        expect(!h.text->logits().empty() == from.has_logits, "logits are there or not, unlike in what was saved");
        done();
    }

    void restore(Held& h, const Step& s) {
        if (saved_.empty()) return;
        const Saved& from = saved_[s.a % saved_.size()];
        say("a snapshot of ", from.ids.size(), " tokens");
        if (expect_done(h.text->restore(from.bytes))) become(h, from);
    }

    void fork(Held& h, const Step& s) {
        auto other = h.text->fork();
        if (!expect_done(other)) return;
        expect(!h.text->logits().empty() == had_logits_, "forking took the logits");
        expect(!(*other)->logits().empty() == had_logits_, "logits are there or not, unlike in what was forked");
        Held forked{*std::move(other), h.ids};
        if (held_.size() < most_texts) {
            say("into text ", held_.size());
            held_.push_back(std::move(forked));
        } else {
            say("into text ", s.a % most_texts);
            held_[s.a % most_texts] = std::move(forked);
        }
        done();
    }

    // Calls that must change nothing.
    void wrong(Held& h, const Step& s) {
        const int n = h.n_past(), n_ctx = h.text->n_ctx();
        const bool ends = n_ctx < longest;
        const int32_t bad_ids[] = {-1, n_vocab(), INT32_MIN, INT32_MAX};
        const auto with_bad_id = [&](Ids ids) {
            ids.push_back(bad_ids[s.b % 4]);
            if (s.b % 8 >= 4) ids.push_back(0);
            return ids;
        };
        const int k = std::max(0, std::min(size_from(s.b), limit(h) - n - 2));
        const auto bad = Status::invalid_argument;
        switch (s.a % 13) {
            case 0:
                say("a bad id in prefill, after ", k);
                if (n + k + 2 <= limit(h))
                    expect_refused(h.text->prefill(with_bad_id(tokens(s.c, n, k)), nullptr), bad);
                break;
            case 1:
                say("too long a prefill");
                if (ends) expect_refused(h.text->prefill(tokens(s.c, n, n_ctx - n + 1), nullptr), Status::context_full);
                break;
            case 2:
                say("a rewind to -1");
                expect_refused(h.text->rewind(-1), bad);
                break;
            case 3:
                say("a rewind beyond the end");
                expect_refused(h.text->rewind(n + 1), bad);
                break;
            case 4:
                say("a prompt without tokens");
                expect_refused(h.text->complete({}), bad);
                break;
            case 5:
                say("too long a prompt");
                if (ends) expect_refused(h.text->complete(tokens(s.c, 0, n_ctx + 1)), Status::context_full);
                break;
            case 6: {
                const int same = std::min(position_from(s.b, n), limit(h) - 2);
                say("a bad id in a prompt, ", same, " ids of which are the text's");
                expect_refused(h.text->complete(with_bad_id(Ids(h.ids.begin(), h.ids.begin() + same))), bad);
                break;
            }
            case 7:
                say("an embedding of nothing");
                expect_refused(h.text->embed({}), bad);
                break;
            case 8:
                say("a bad id in an embedding");
                expect_refused(h.text->embed(with_bad_id({1, 2})), bad);
                break;
            case 9:
                say("too long an embedding");
                if (ends) expect_refused(h.text->embed(tokens(s.c, 0, n_ctx + 1)), Status::context_full);
                break;
            case 10:
                return damaged(h, s);
            case 11:
                foreign(h);
                break;
            case 12: {
                say("a temperature below zero");
                SamplerSettings settings;
                settings.temperature = -1.0f;
                expect_refused(h.text->generate(3, settings), bad);
                break;
            }
        }
        expect(!h.text->logits().empty() == had_logits_, "a refused call changed whether there are logits");
    }

    // A snapshot cut short is refused. A changed bit may be one without meaning; then what is restored is what was
    // saved.
    void damaged(Held& h, const Step& s) {
        if (saved_.empty()) return;
        const Saved& from = saved_[s.b % saved_.size()];
        auto bytes = from.bytes;
        if (s.c % 2 == 0) {
            say("a snapshot cut short");
            bytes.resize(s.c / 2 % bytes.size());
        } else {
            say("a changed bit in a snapshot");
            bytes[s.c / 16 % bytes.size()] ^= static_cast<std::byte>(1u << (s.c / 2 % 8));
        }
        const auto result = h.text->restore(bytes);
        if (result && s.c % 2 != 0) return become(h, from);
        ++counts_.ops[static_cast<size_t>(op_)].refused;
        expect(!result, "restored from a part of a snapshot");
        expect(!h.text->logits().empty() == had_logits_, "a refused snapshot changed whether there are logits");
    }

    void foreign(Held& h) {
        say("a snapshot of a text with other options");
        auto other = door_->open_another();
        if (!expect_done(other)) return;
        const auto bytes = (*other)->save();
        if (!expect_done(bytes)) return;
        expect_refused(h.text->restore(*bytes), Status::mismatch);
    }

    void verify(size_t t) {
        const Held& h = held_[t];
        const auto which = [&](std::string_view what) { return cat("text ", t, " at ", h.n_past(), ": ", what); };
        const auto ids = h.text->ids();
        if (!std::equal(ids.begin(), ids.end(), h.ids.begin(), h.ids.end()))
            return expect(false, which(cat("expected other ids; found ", ids.size())));
        if (const auto logits = h.text->logits(); !logits.empty()) {
            if (h.ids.empty()) return expect(false, which("logits after no token"));
            ++counts_.n_compared;
            if (!same_bits(logits, truth_.after(h.ids))) return expect(false, which("the logits differ"));
        }
    }

    const Setting& setting_;
    Counts& counts_;
    std::ostream* log_;
    const std::shared_ptr<const Model> model_;
    std::unique_ptr<Door> door_;
    Truth truth_;
    std::vector<Held> held_;
    std::vector<Saved> saved_;
    std::string wrong_;
    // Of the present step.
    Op op_ = Op::open;
    bool had_logits_ = false, may_cancel_ = false;
};

}  // namespace

const char* op_name(Op op) noexcept {
    constexpr const char* names[] = {"open",  "prefill", "together", "rewind",  "complete", "generate", "speculate",
                                     "slide", "embed",   "save",     "restore", "fork",     "wrong"};
    static_assert(std::size(names) == static_cast<size_t>(Op::count));
    return names[static_cast<size_t>(op)];
}

std::vector<Step> random_script(uint64_t seed, size_t n_steps) {
    std::mt19937_64 random(seed);
    const auto number = [&] { return static_cast<uint32_t>(random()); };
    // In the order of Op.
    constexpr uint32_t weights[] = {1, 30, 6, 20, 14, 9, 9, 3, 2, 4, 6, 4, 6};
    std::vector<Op> ops;
    for (size_t op = 0; op < std::size(weights); ++op) ops.insert(ops.end(), weights[op], static_cast<Op>(op));
    std::vector<Step> script;
    for (size_t i = 0; i < n_steps; ++i) {
        Step s{ops[number() % ops.size()], number(), number(), number(), number(), -1};
        if (asks(s.op) && number() % 3 == 0) s.cancel_at = static_cast<int>(number() % (1u << number() % 9));
        script.push_back(s);
    }
    return script;
}

std::optional<Failure> run_script(const Setting& setting, const OpenDoor& open, std::span<const Step> script,
                                  Counts& counts, std::ostream* log) {
    return Runner(setting, open, counts, log).run(script);
}

std::vector<Step> shortest_failing(const Setting& setting, const OpenDoor& open, std::vector<Step> script) {
    const auto fails = [&](const std::vector<Step>& part) {
        Counts counts;
        return run_script(setting, open, part, counts).has_value();
    };
    for (size_t n = std::max<size_t>(script.size() / 2, 1); n > 0; n /= 2) {
        for (size_t at = 0; at < script.size();) {
            std::vector<Step> part(script.begin(), script.begin() + static_cast<std::ptrdiff_t>(at));
            const size_t end = std::min(at + n, script.size());
            part.insert(part.end(), script.begin() + static_cast<std::ptrdiff_t>(end), script.end());
            if (fails(part))
                script = std::move(part);
            else
                at += n;
        }
    }
    return script;
}

}  // namespace elver::test
