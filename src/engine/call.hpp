// Calls that are under way in an engine, and the threads that wait for them.
#pragma once

#include "base/text.hpp"
#include "engine/engine.hpp"

namespace elver {

// A thread and its calls. It makes passes, or sleeps until a pass of another thread has done what it waits for.
struct Engine::Caller {
    const std::thread::id thread = std::this_thread::get_id();
    Call* calls = nullptr;
    std::condition_variable changed;
    bool sleeps = false;
    bool once = false;                 // it waits for one pass with calls of its own
    uint64_t n_passes = 0;             // with calls of its own
    uint64_t idle_since = UINT64_MAX;  // the state of the engine in which it found nothing to do, as n_changes_

    // Whether one of its calls is under way, or under way and cancelled.
    bool at_work() const noexcept;
    bool cancelled() const noexcept;
};

struct Engine::Call {
    Call(Caller& thread, Sequence& s, const Outputs& o) noexcept
        : caller(&thread), next(thread.calls), sequence(&s), outputs(&o), base(static_cast<size_t>(s.n_past())) {
        thread.calls = this;
    }

    Caller* caller;
    Call* next;  // of the same caller
    Sequence* sequence;
    const Outputs* outputs;
    size_t base;                       // tokens of the text before the call
    size_t next_wanted = 0;            // of outputs
    std::atomic<bool> stopped{false};  // by what its progress said
    bool writes = false;               // it asks for one token: the text is being written, and will probably go on
    bool alone = false;                // a pass that it was part of has failed: whose fault it is shows by itself
    bool in_pass = false;
    int n = 0;           // its tokens in the pass
    int n_drafted = 0;   // and drafted ones behind them
    bool tells = false;  // its thread is woken after each pass that it is part of
    bool moved = false;  // since progress was told
    bool done = false;
    bool returned = false;  // else an exception ends it
    Result<void> result;

    int priority() const noexcept { return sequence->options_.priority; }
    size_t n_left() const noexcept { return sequence->ids_.size() - static_cast<size_t>(sequence->n_computed_); }
    // A token, or a few that are known: part of every pass. Others are prompts, which passes take pieces of.
    bool is_short() const noexcept { return n_left() <= 1 + most_drafted; }
    bool cancelled() const noexcept { return stopped || sequence->cancel_.cancelled(); }
    // Tokens whose outputs are wanted are computed, even where their pages are there.
    size_t most_adopted() const noexcept {
        const size_t most = sequence->ids_.size() - 1;
        return next_wanted < outputs->wanted.size() ? std::min(most, base + outputs->wanted[next_wanted]) : most;
    }
    // Whether its thread, which waits for one pass, is about to return with what that has computed. A pass that has
    // failed does not count.
    bool has_had_its_pass() const noexcept { return caller->once && caller->n_passes > 0 && (moved || !alone); }
    double fraction() const noexcept {
        const auto computed = static_cast<size_t>(sequence->n_computed_), all = sequence->ids_.size();
        return computed <= base ? 0.0 : static_cast<double>(computed - base) / static_cast<double>(all - base);
    }
    void finish(Result<void> how) {
        done = true;
        result = std::move(how);
        caller->changed.notify_one();
    }
    Error cancelled_error() const {
        const int at = std::max(sequence->n_computed_, static_cast<int>(base));
        return Error(Status::cancelled, cat("cancelled at position ", at), "session");
    }
};

inline bool Engine::Caller::at_work() const noexcept {
    for (const Call* c = calls; c != nullptr; c = c->next) {
        if (!c->done) return true;
    }
    return false;
}

inline bool Engine::Caller::cancelled() const noexcept {
    for (const Call* c = calls; c != nullptr; c = c->next) {
        if (!c->done && c->cancelled()) return true;
    }
    return false;
}

// Why a text of so many tokens has found no room in the pool.
inline Error no_room(const PagePool& pool, size_t n_tokens) {
    if (pool.system_refused())
        return Error(Status::out_of_memory,
                     cat("the system refused memory for the pages of a text of ", n_tokens, " tokens"));
    return Error(Status::over_budget,
                 cat("the text of ", n_tokens, " tokens does not fit into the ", pool.limit(),
                     " bytes that pages may take: ", pool.used(), " are in use"),
                 "page_bytes");
}

// A row of a pass whose logits or hidden states are wanted.
struct Engine::Output {
    int32_t row;
    Call* call;
    size_t index;  // given to take()
    bool taken;
    int kept;  // the row of the sequence's logits that it becomes, too; -1: none
};

}  // namespace elver
