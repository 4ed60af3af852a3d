// How an engine makes a pass: which work goes into it, what it does with the results.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/call.hpp"
#include "engine/engine.hpp"

namespace elver {

namespace {

// What drafted tokens must promise to be computed: that much more of the tokens in a second.
constexpr double least_gain = 1.08;

size_t common(std::span<const int32_t> a, std::span<const int32_t> b) noexcept {
    return static_cast<size_t>(
        std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(std::min(a.size(), b.size())), b.begin())
            .first -
        a.begin());
}

}  // namespace

// False where there was nothing to do.
bool Engine::make_pass(std::unique_lock<std::mutex>& lock, Caller& own) {
    passing_ = true;
    driver_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    // On every way out: an exception, of take or for want of memory, leaves the texts where they were before the pass.
    struct Passing {
        Engine& engine;
        std::unique_lock<std::mutex>& lock;
        ~Passing() {
            if (!lock.owns_lock()) lock.lock();
            engine.passing_ = false;
            engine.driver_.store({}, std::memory_order_relaxed);
            if (!engine.in_pass_.empty()) ++engine.n_changes_;
            for (Call* call : engine.in_pass_) {
                call->in_pass = false, call->n = call->n_drafted = 0;
                if (call->tells || call->caller->once || call->cancelled()) call->caller->changed.notify_one();
            }
            engine.in_pass_.clear();
            engine.changed_.notify_all();
        }
    } passing{*this, lock};
    gather(lock, own);
    begin_pass(own);
    if (in_pass_.empty()) return false;
    lock.unlock();
    const bool done = run_pass(own);
    const double seconds = std::chrono::duration<double>(Schedule::Clock::now() - pass_began_).count();
    lock.lock();
    cut_short_ = !done && !fault_.raised();
    if (done) {
        int n_prompt = 0;
        for (const Call* call : in_pass_) n_prompt += call->n > 1 ? call->n : 0;
        schedule_.learn(static_cast<int>(ids_.size()), n_prompt, n_logits_, seconds);
        commit_pass();
    } else if (fault_.raised()) {
        blame_pass();
    }
    return true;
}

// Texts that have just got a token are about to ask for the next: a pass with them costs little more than one without.
void Engine::gather(std::unique_lock<std::mutex>& lock, Caller& own) {
    const auto now = Schedule::Clock::now();
    std::erase_if(writers_, [&](const Writer& w) {
        const bool old = w.since + schedule_.lately() < now;
        if (old) stop_awaiting(*w.sequence);
        return old;
    });
    if (n_awaited_ == 0) return;
    gatherer_ = &own;
    own.changed.wait_until(lock, now + schedule_.patience(static_cast<int>(writers_.size())),
                           [&] { return n_awaited_ == 0 || own.cancelled(); });
    gatherer_ = nullptr;
    for (const Writer& w : writers_) {
        if (!w.sequence->awaited_) continue;
        ++w.sequence->n_late_;
        stop_awaiting(*w.sequence);
    }
}

// Whether a text other than this one is being written: a prompt beside it must not hold it up for long.
bool Engine::written_beside(const Sequence& sequence) const noexcept {
    const auto since = Schedule::Clock::now() - schedule_.lately();
    return std::any_of(in_pass_.begin(), in_pass_.end(),
                       [&](const Call* c) { return c->sequence != &sequence && c->writes; }) ||
           std::any_of(writers_.begin(), writers_.end(),
                       [&](const Writer& w) { return w.sequence != &sequence && w.since > since; });
}

// Whether the pass computes already what this call would begin with: it can have it for nothing afterwards.
bool Engine::waits_for_other(const Call& call) const noexcept {
    const Sequence& s = *call.sequence;
    return std::any_of(in_pass_.begin(), in_pass_.end(), [&](const Call* c) {
        const Sequence& other = *c->sequence;
        return c->n > 1 && other.sort_ == s.sort_ && other.state_.empty() &&
               common(other.shareable(), s.shareable()) >
                   static_cast<size_t>(std::max(s.n_computed_, other.n_computed_)) + 16;
    });
}

void Engine::begin_pass(const Caller& own) {
    segments_.clear(), ids_.clear(), pos_.clear(), rows_.clear();
    // A call that is in a pass must be in its list too: nothing may fail between the two.
    segments_.reserve(calls_.size()), in_pass_.reserve(calls_.size());
    writers_.reserve(writers_.size() + calls_.size());
    std::vector<Call*> waiting;
    for (Call* call : calls_) {
        if (call->done || call->has_had_its_pass()) continue;
        if (call->cancelled())
            call->finish(call->cancelled_error());
        else if (!call->outputs->take || call->caller == &own)  // a row is taken on the thread of its call
            waiting.push_back(call);
    }
    // Tokens of texts that are being written come first, then prompts, those that waited longest before others.
    std::stable_sort(waiting.begin(), waiting.end(), [](const Call* a, const Call* b) {
        if (a->priority() != b->priority()) return a->priority() > b->priority();
        if (a->is_short() != b->is_short()) return a->is_short();
        return a->sequence->served_ < b->sequence->served_;
    });
    int left = largest_.max_batch;
    // A model that reads both ways reads a text in one pass.
    if (options_.pass_tokens > 0 && model_.causal) left = std::min(left, options_.pass_tokens);
    const auto most_texts = options_.pass_texts > 0 ? static_cast<size_t>(options_.pass_texts) : calls_.size();
    for (Call* call : waiting) {
        if (left == 0 || in_pass_.size() == most_texts ||
            (!in_pass_.empty() && (call->alone || in_pass_.front()->alone)))
            break;
        if (!in_pass_.empty() && (!model_.causal || waits_for_other(*call))) continue;
        int most = std::min(left, call->sequence->options_.max_batch);
        if (model_.causal && !call->is_short() && written_beside(*call->sequence)) {
            int prompt_rows = schedule_.prompt_rows(most);
            for (const Call* c : in_pass_) prompt_rows -= c->n > 1 ? c->n : 0;
            most = std::min(most, prompt_rows);
        }
        if (most > 0) left -= begin_segment(*call, most);
    }
    choose_drafts(left);
    lay_out();
    // The call that others give way to has found no room with nobody beside it: it never will, unless another thread is
    // about to let go of a text that it saves.
    if (!in_pass_.empty()) return;
    Call* first = nullptr;
    for (Call* c : calls_) {
        if (!c->done && (first == nullptr || c->priority() > first->priority())) first = c;
    }
    if (first == nullptr || std::find(waiting.begin(), waiting.end(), first) == waiting.end()) return;
    if (!awaits_pins(*first)) first->finish(no_room(*pool_, first->sequence->ids_.size()));
}

// What others have computed of the text: pages that are kept, or the begun page at the end of an open text.
void Engine::adopt(Call& call) {
    Sequence& s = *call.sequence;
    if (!s.state_.empty() || !model_.causal) return;
    const size_t most = std::min(call.most_adopted(), s.shareable().size());
    if (most <= static_cast<size_t>(s.n_computed_)) return;
    const auto ids = std::span<const int32_t>(s.ids_).first(most);
    s.n_computed_ = prefixes_.adopt(s.sort_, ids, s.n_computed_, s.cache_);
    for (const Sequence* other : sequences_) {
        if (other == &s || other->sort_ != s.sort_) continue;
        const auto shareable = other->shareable();
        const auto theirs = shareable.first(std::min(shareable.size(), static_cast<size_t>(other->n_computed_)));
        const auto n = static_cast<int>(common(theirs, ids));
        if (n <= s.n_computed_ || !other->cache_.holds(n, n)) continue;
        s.cache_.adopt(n, [&](int table, int page) { return other->cache_.page_id(table, page); });
        s.n_computed_ = n;
    }
}

// At most `most` tokens of the call; how many there are now in the pass.
int Engine::begin_segment(Call& call, int most) {
    Sequence& s = *call.sequence;
    if (!s.cache_.holds(s.n_computed_, s.n_computed_)) s.cache_.clear(), s.n_computed_ = 0;
    adopt(call);
    int n = static_cast<int>(std::min(call.n_left(), static_cast<size_t>(most)));
    // A recurrent state before the last token lets another answer to the same text begin there.
    if (!s.state_.empty() && n > 1 && !call.writes && static_cast<size_t>(n) == call.n_left()) --n;
    while (!s.cache_.begin_write(s.n_computed_, n)) {
        if (!make_room(call)) return 0;
    }
    in_pass_.push_back(&call);
    call.n = n;
    call.in_pass = true;
    return n;
}

// The drafted tokens that a pass computes, in the order of their chances: as many as make it yield the most tokens in
// the time that it is expected to take. Where a recurrent state does not stand behind one of them, what the text takes
// of them is computed once more.
void Engine::choose_drafts(int most) {
    const auto drafts = [](const Call* c) { return !c->outputs->drafts.empty(); };
    if (std::none_of(in_pass_.begin(), in_pass_.end(), drafts)) return;
    int rows = 0;
    double yield = 0;
    const auto room = [&](const Call& c) {
        const Sequence& s = *c.sequence;
        if (static_cast<size_t>(c.n) < c.n_left()) return 0;
        const int positions = s.endless() ? most_drafted : s.options_.n_ctx - s.n_past();
        return std::min({static_cast<int>(c.outputs->drafts.size()), s.options_.max_batch - c.n, positions});
    };
    for (Call* c : in_pass_) {
        rows += c->n;
        yield += c->writes ? 1 : c->n;
        if (!c->outputs->all_drafts) continue;
        c->n_drafted = std::min(room(*c), most);
        rows += c->n_drafted, most -= c->n_drafted;
    }
    std::vector<Call*> chosen;
    size_t n_best = 0;
    double redone = 0;  // rows that are expected to be computed once more
    double best = least_gain * yield / schedule_.seconds(rows);
    while (static_cast<int>(chosen.size()) < most) {
        Call* next = nullptr;
        float chance = 0;
        for (Call* c : in_pass_) {
            if (c->outputs->all_drafts || c->n_drafted >= room(*c)) continue;
            const DraftToken& token = c->outputs->drafts[static_cast<size_t>(c->n_drafted)];
            if (token.chance > chance) next = c, chance = token.chance;
        }
        if (next == nullptr) break;
        chosen.push_back(next);
        ++next->n_drafted;
        yield += static_cast<double>(chance);
        if (!next->sequence->state_.empty()) redone += 1 - static_cast<double>(chance);
        const double n_rows = rows + static_cast<double>(chosen.size()) + redone;
        const double rate = yield / schedule_.seconds(static_cast<int>(std::ceil(n_rows)));
        if (rate > best) best = rate, n_best = chosen.size();
    }
    for (size_t i = n_best; i < chosen.size(); ++i) --chosen[i]->n_drafted;
    for (Call* c : in_pass_) {
        if (c->n_drafted > 0 && !hold_drafts(*c->sequence, c->n, c->n_drafted)) c->n_drafted = 0;
    }
}

// Whether there is room for drafted tokens behind n others; nothing is given up for it.
bool Engine::hold_drafts(Sequence& s, int n, int n_drafted) noexcept {
    try {
        const auto more = static_cast<size_t>(n_drafted);
        if (s.ids_.capacity() < s.ids_.size() + more) s.ids_.reserve(2 * (s.ids_.size() + more));
        if (s.logits_.size() < (1 + more) * s.row_size_) s.logits_.resize((1 + more) * s.row_size_);
        return s.cache_.begin_write(s.n_computed_, n + n_drafted);
    } catch (const std::bad_alloc&) {
        return false;
    }
}

// The rows of the pass.
void Engine::lay_out() {
    for (Call* call : in_pass_) {
        Sequence& s = *call->sequence;
        const int n = call->n + call->n_drafted;
        segments_.push_back({&s.cache_, &s.state_, static_cast<int>(ids_.size()), n, s.n_computed_});
        for (int i = 0; i < n; ++i) {
            const int pos = s.n_computed_ + i;
            const bool drafted = i >= call->n;
            ids_.push_back(drafted ? call->outputs->drafts[static_cast<size_t>(i - call->n)].id
                                   : s.ids_[static_cast<size_t>(pos)]);
            pos_.push_back(pos);
            rows_.push_back(drafted ? nullptr : s.row_at(pos, model_.width));
        }
        s.state_.begin_pass();
    }
}

// Pages for a call: kept ones that nobody has used for long, then those of texts, of the lowest priority first. Texts
// that do nothing now give way to every call; others to one of a higher priority, or of the same that came before
// theirs. So the first in that order always goes on.
bool Engine::make_room(const Call& own) noexcept {
    if (prefixes_.forget_one()) return true;
    const auto mine = std::find(calls_.begin(), calls_.end(), &own);
    struct Victim {
        Sequence* sequence;
        bool idle;
        uint64_t since;  // of the idle, the longest go first; of others, the latest
        bool before(const Victim& v) const noexcept {
            if (v.sequence == nullptr) return true;
            const int a = sequence->options_.priority, b = v.sequence->options_.priority;
            if (a != b) return a < b;
            return idle != v.idle ? idle : idle ? since < v.since : since > v.since;
        }
    } victim{nullptr, false, 0};
    for (Sequence* s : sequences_) {
        if (s == own.sequence || s->pinned_by_ != std::thread::id() || s->cache_.empty()) continue;
        const auto at =
            std::find_if(calls_.begin(), calls_.end(), [s](const Call* c) { return c->sequence == s && !c->done; });
        const bool idle = at == calls_.end();
        if (!idle && (*at)->in_pass) continue;
        const int priority = s->options_.priority;
        if (!idle && (priority > own.priority() || (priority == own.priority() && at < mine))) continue;
        const Victim v{s, idle, idle ? s->served_ : static_cast<uint64_t>(at - calls_.begin())};
        if (v.before(victim)) victim = v;
    }
    if (victim.sequence == nullptr) return false;
    set_aside(*victim.sequence);
    return true;
}

// Calls body(i) for each i below n, which must not throw, on all threads of the pool.
template <class Body>
void Engine::in_parallel(size_t n, const Body& body) const {
    if (n == 1) return body(0);
    model_.executor->pool().parallel_for(n, 1, [&body](size_t first, size_t end) {
        for (size_t i = first; i < end; ++i) body(i);
    });
}

bool Engine::run_pass(Caller& own) {
    cpu::Pass pass;
    pass.scratch = &scratch_;
    pass.segments = segments_;
    pass.ids = ids_.data();
    pass.pos = pos_.data();
    pass.rows = rows_.data();
    pass.n_rows = static_cast<int>(ids_.size());
    pass.outputs = outputs_.data();
    pass.stop = &stop_;
    pass.fault = &fault_;
    fault_.clear();
    struct Watch {
        Engine* engine;
        Caller* own;
    } watch{this, &own};
    if (own.calls->next == nullptr && in_pass_.size() == 1 && in_pass_.front() == own.calls) {
        pass.cancel = &own.calls->sequence->cancel_;
    } else {
        cancel_.begin();
        cancel_.watch(
            [](void* context) -> int {
                const auto& w = *static_cast<Watch*>(context);
                return w.engine->goes_on(*w.own);
            },
            &watch);
        pass.cancel = &cancel_;
    }
    // Models that share threads make a pass each.
    const ThreadPool::Turn turn(model_.executor->pool(), pass.cancel);
    pass_began_ = Schedule::Clock::now();
    if (!turn || pass.cancel->cancelled(0) || !model_.executor->run_body(pass)) return false;
    std::vector<Output> logits, hidden;
    for (size_t i = 0; i < in_pass_.size(); ++i) {
        Call& call = *in_pass_[i];
        const Outputs& want = *call.outputs;
        auto& rows = want.of == Outputs::Of::logits ? logits : hidden;
        const cpu::Segment& segment = segments_[i];
        const auto first = static_cast<size_t>(segment.first_pos), end = first + static_cast<size_t>(call.n);
        size_t next = call.next_wanted;
        for (; next < want.wanted.size() && call.base + want.wanted[next] < end; ++next) {
            const auto row = static_cast<int32_t>(call.base + want.wanted[next] - first) + segment.first_row;
            rows.push_back({row, &call, want.wanted[next], true, -1});
        }
        if (!want.keeps_logits || end != call.sequence->ids_.size()) continue;
        const int32_t last = segment.first_row + call.n - 1;
        if (!rows.empty() && rows.back().row == last)
            rows.back().kept = 0;
        else
            rows.push_back({last, &call, 0, false, 0});
        for (int k = 1; k <= call.n_drafted; ++k) rows.push_back({last + k, &call, 0, false, k});
    }
    n_logits_ = static_cast<int>(logits.size());
    if (!run_outputs(pass, Outputs::Of::logits, logits) || !run_outputs(pass, Outputs::Of::hidden, hidden))
        return false;
    in_parallel(in_pass_.size(), [&](size_t i) {
        const Call& c = *in_pass_[i];
        const bool last = static_cast<size_t>(c.n) == c.n_left();
        if (last && c.outputs->ready) c.outputs->ready(std::span(c.sequence->logits_).first(c.sequence->row_size_));
    });
    return true;
}

// Asked while a pass runs, on its thread: the functions that hosts have given are polled on the threads of their calls.
// A pass ends early when one of its calls is cancelled, which thus waits for no other. Not twice in a row: others must
// get on.
bool Engine::goes_on(Caller& own) noexcept {
    for (Call* c = own.calls; c != nullptr; c = c->next) c->sequence->cancel_.cancelled(0);
    const auto cancelled = [](const Call* c) { return c->cancelled(); };
    if (cut_short_) return !std::all_of(in_pass_.begin(), in_pass_.end(), cancelled);
    return !own.cancelled() && std::none_of(in_pass_.begin(), in_pass_.end(), cancelled);
}

bool Engine::run_outputs(cpu::Pass& pass, Outputs::Of of, std::span<const Output> all) {
    const cpu::Executor& executor = *model_.executor;
    const bool is_logits = of == Outputs::Of::logits;
    for (size_t from = 0; from < all.size(); from += outputs_at_once) {
        const auto some = all.subspan(from, std::min<size_t>(outputs_at_once, all.size() - from));
        for (size_t i = 0; i < some.size(); ++i) outputs_[i] = some[i].row;
        pass.n_outputs = static_cast<int>(some.size());
        if (!(is_logits ? executor.run_head(pass) : executor.run_hidden(pass))) return false;
        const auto values = [&](size_t i) {
            const int row = static_cast<int>(i);
            return is_logits
                       ? std::span<const float>(executor.logits(scratch_, row), static_cast<size_t>(model_.n_vocab))
                       : std::span<const float>(executor.hidden(scratch_, row), static_cast<size_t>(model_.width));
        };
        in_parallel(some.size(), [&](size_t i) {
            if (some[i].kept < 0) return;
            Sequence& s = *some[i].call->sequence;
            const auto row = values(i);
            std::copy(row.begin(), row.end(), s.logits_.data() + static_cast<size_t>(some[i].kept) * s.row_size_);
        });
        for (size_t i = 0; i < some.size(); ++i) {
            const Output& o = some[i];
            if (!o.taken) continue;
            o.call->outputs->take(o.index, values(i));
            if (o.call->cancelled()) return false;
        }
    }
    return true;
}

void Engine::commit_pass() {
    const auto now = Schedule::Clock::now();
    ++n_passes_;
    for (Call* call : in_pass_) {
        Sequence& s = *call->sequence;
        const Outputs& want = *call->outputs;
        s.served_ = n_passes_;
        ++call->caller->n_passes;
        call->moved = true;
        const int n = call->n + call->n_drafted;
        for (const DraftToken& token : want.drafts.first(static_cast<size_t>(call->n_drafted)))
            s.ids_.push_back(token.id);
        s.n_drafted_ = static_cast<size_t>(call->n_drafted);
        s.n_computed_ += n;
        s.n_passed_ += static_cast<uint64_t>(call->n);
        n_computed_.fetch_add(static_cast<uint64_t>(n), std::memory_order_relaxed);
        s.state_.commit(s.n_computed_, call->n > 1 && !call->writes);
        const auto computed = static_cast<size_t>(s.n_computed_);
        while (call->next_wanted < want.wanted.size() && call->base + want.wanted[call->next_wanted] < computed)
            ++call->next_wanted;
        if (s.n_computed() / page_positions > s.n_kept_) keep(s, false);
        if (call->n_left() > 0) continue;
        s.has_logits_ = want.keeps_logits && model_.has_head;
        s.logits_row_ = 0;
        if (want.pins) s.pinned_by_ = call->caller->thread;
        call->finish({});
        forget_writer(s);
        if (!call->writes) continue;
        writers_.push_back({&s, now});
        // After three times too late it is awaited every sixteenth time only.
        s.awaited_ = s.n_late_ < 3 || s.n_late_++ % 16 == 0;
        n_awaited_ += s.awaited_ ? 1 : 0;
    }
}

// A pass over one text tells whose fault it is; after one over several, each gets a pass of its own.
void Engine::blame_pass() {
    if (in_pass_.size() > 1) {
        for (Call* call : in_pass_) call->alone = true;
    } else {
        in_pass_.front()->finish(Error(Status::bad_file, cat(model_.name, ": ", fault_.text()), model_.name));
    }
}

void Engine::keep(Sequence& s, bool tail) noexcept {
    s.n_kept_ = s.n_computed() / page_positions;
    if (!model_.causal || !s.state_.empty()) return;
    try {
        const auto shareable = s.shareable();
        const auto n = static_cast<size_t>(s.n_computed());
        prefixes_.keep(s.sort_, shareable.first(std::min(shareable.size(), n)), s.cache_,
                       tail && n <= shareable.size());
    } catch (const std::bad_alloc&) {
        // Who needs it computes it anew.
    }
}

}  // namespace elver
