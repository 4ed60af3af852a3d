// Texts of an engine: opening, closing, cutting, and calls from their beginning to their end. pass.cpp makes the
// passes.
#include "engine/engine.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>

#include "base/text.hpp"
#include "engine/call.hpp"

namespace elver {

Engine::Engine(EngineModel model, const EngineOptions& options)
    : model_(std::move(model)),
      options_(options),
      pool_(std::make_shared<PagePool>(options.page_bytes > 0 ? options.page_bytes : options.least_page_bytes)),
      prefixes_(pool_),
      schedule_(options.gap) {}

size_t Engine::scratch_bytes(const EngineModel& model, const SequenceOptions& o) {
    return model.executor->plan_scratch(o.max_batch, outputs_at_once, o.n_ctx).n_bytes;
}

size_t Engine::cache_bytes(const EngineModel& model, const SequenceOptions& o) noexcept {
    return KvCache::plan_bytes(model.cache_layers, o.cache_type, o.n_ctx, o.max_batch) +
           RecurrentState::plan_bytes(model.state_layers);
}

size_t Engine::logits_bytes(const EngineModel& model) noexcept {
    return model.has_head ? static_cast<size_t>(model.n_vocab) * sizeof(float) : 0;
}

// A pass may be at work in the scratch that a larger one takes the place of.
Result<void> Engine::reserve(std::unique_lock<std::mutex>& lock, const SequenceOptions& o) {
    const auto fits = [&] { return o.max_batch <= largest_.max_batch && o.n_ctx <= largest_.n_ctx; };
    if (fits()) return {};
    ++n_reserving_;
    changed_.wait(lock, [&] { return !passing_; });
    --n_reserving_;
    // The next pass begins once the lock is free.
    hand_over();
    if (fits()) return {};
    SequenceOptions wanted = largest_;
    wanted.max_batch = std::max(wanted.max_batch, o.max_batch);
    wanted.n_ctx = std::max(wanted.n_ctx, o.n_ctx);
    cpu::Scratch scratch = model_.executor->plan_scratch(wanted.max_batch, outputs_at_once, wanted.n_ctx);
    auto memory = AlignedBuffer::make(scratch.n_bytes, "scratch");
    if (!memory) return std::move(memory).error();
    const auto rows = static_cast<size_t>(wanted.max_batch);
    ids_.reserve(rows), pos_.reserve(rows), rows_.reserve(rows), outputs_.resize(outputs_at_once);
    scratch_memory_ = *std::move(memory);
    scratch_ = std::move(scratch);
    scratch_.memory = scratch_memory_.data();
    largest_ = wanted;
    return {};
}

Result<std::unique_ptr<Sequence>> Engine::make(const SequenceOptions& options) {
    std::unique_ptr<Sequence> s(new Sequence(options));
    auto cache = KvCache::make(model_.cache_layers, options.cache_type, options.n_ctx, options.max_batch, pool_);
    if (!cache) return std::move(cache).error();
    s->cache_ = *std::move(cache);
    auto state = RecurrentState::make(model_.state_layers);
    if (!state) return std::move(state).error();
    s->state_ = *std::move(state);
    s->sort_ = static_cast<uint64_t>(options.cache_type) +
               (model_.long_beyond > 0 && options.n_ctx > model_.long_beyond ? 256 : 0);
    s->ids_.reserve(static_cast<size_t>(options.n_ctx));
    s->row_size_ = logits_bytes(model_) / sizeof(float);
    s->logits_.resize(s->row_size_);
    s->cancel_.resume(0);
    return s;
}

void Engine::admit(Sequence& s) {
    sequences_.push_back(&s);
    set_limit();
}

void Engine::set_limit() noexcept {
    if (options_.page_bytes > 0) return;
    size_t total = 0;
    for (const Sequence* s : sequences_) {
        const SequenceOptions& o = s->options_;
        total += KvCache::plan_bytes(model_.cache_layers, o.cache_type, o.n_ctx, o.max_batch);
    }
    pool_->set_limit(std::max(total, options_.least_page_bytes));
    while (pool_->used() > pool_->limit() && prefixes_.forget_one()) {
    }
}

Result<std::unique_ptr<Sequence>> Engine::open(const SequenceOptions& options) {
    if (inside())
        return Error(Status::busy, "called from a function that a pass of the same model calls: it must end first",
                     "model");
    std::unique_lock lock(mutex_);
    const size_t pages = KvCache::plan_bytes(model_.cache_layers, options.cache_type, options.n_ctx, options.max_batch);
    if (options_.page_bytes > 0 && pages > options_.page_bytes) {
        return Error(Status::over_budget,
                     cat("page_bytes: a text of ", options.n_ctx, " positions needs ", pages, ", the budget is ",
                         options_.page_bytes),
                     "page_bytes");
    }
    if (auto room = reserve(lock, options); !room) return std::move(room).error();
    auto made = make(options);
    if (made) admit(**made);
    return made;
}

Result<std::unique_ptr<Sequence>> Engine::fork(const Sequence& from) {
    const std::unique_lock lock(mutex_);
    auto made = make(from.options_);
    if (!made) return made;
    Sequence& s = **made;
    s.cache_ = from.cache_.share();
    s.state_.copy(from.state_);
    s.ids_.assign(from.ids_.begin(), from.ids_.end());
    s.rows_ = from.rows_;
    s.n_computed_ = from.n_computed_;
    cut(s, from.n_past());
    s.has_logits_ = from.has_logits_;
    const auto logits = from.logits();
    std::copy(logits.begin(), logits.end(), s.logits_.begin());
    admit(s);
    return made;
}

void Engine::close(std::unique_ptr<Sequence> sequence) noexcept {
    if (sequence == nullptr) return;
    const std::unique_lock lock(mutex_);
    forget_writer(*sequence);
    std::erase(sequences_, sequence.get());
    keep(*sequence, true);
    sequence.reset();
    set_limit();
    change();
}

void Engine::forget_writer(Sequence& sequence) noexcept {
    stop_awaiting(sequence);
    std::erase_if(writers_, [&](const Writer& w) { return w.sequence == &sequence; });
}

void Engine::stop_awaiting(Sequence& sequence) noexcept {
    if (std::exchange(sequence.awaited_, false) && --n_awaited_ == 0 && gatherer_ != nullptr)
        gatherer_->changed.notify_one();
}

void Engine::truncate(Sequence& sequence, int n) noexcept {
    const std::unique_lock lock(mutex_);
    cut(sequence, n);
    sequence.has_logits_ = false;
    change();
}

void Engine::append(Sequence& s, std::span<const int32_t> ids) {
    const std::unique_lock lock(mutex_);
    drop_drafted(s);
    put(s, ids);
    s.has_logits_ = false;
}

void Engine::slide(Sequence& s, int n_keep) noexcept {
    const std::unique_lock lock(mutex_);
    drop_drafted(s);
    const int n_dropped = (s.n_past() - n_keep + 1) / 2;
    const auto first = s.ids_.begin() + n_keep;
    s.ids_.erase(first, first + n_dropped);
    go_back(s, n_keep);
    s.has_logits_ = false;
}

// To the first n tokens. Of what was computed of them as much stays as a window or a recurrent state reaches back to.
void Engine::cut(Sequence& s, int n) noexcept {
    s.ids_.resize(static_cast<size_t>(n));
    std::erase_if(s.rows_, [n](const EmbeddedRows& rows) { return rows.first_pos >= n; });
    s.n_drafted_ = 0;
    go_back(s, n);
}

void Engine::go_back(Sequence& s, int n) noexcept {
    if (n >= s.n_computed_) return;
    int computed = s.state_.nearest(n);
    if (!s.cache_.holds(computed, computed)) computed = 0;
    s.state_.go_back(computed);
    s.cache_.truncate(computed);
    s.n_computed_ = computed;
    s.n_kept_ = std::min(s.n_kept_, computed / page_positions);
}

void Engine::accept(Sequence& s) const noexcept {
    const std::lock_guard lock(mutex_);  // passes for other texts look at this one's tokens
    --s.n_drafted_;
    ++s.logits_row_;
}

// Changes nothing where memory runs out.
void Engine::put(Sequence& s, const Input& input) const {
    if (input.rows.empty()) {
        s.ids_.insert(s.ids_.end(), input.ids.begin(), input.ids.end());
        return;
    }
    EmbeddedRows rows{s.n_past(), std::make_shared<const std::vector<float>>(input.rows.begin(), input.rows.end())};
    s.rows_.reserve(s.rows_.size() + 1);
    s.ids_.insert(s.ids_.end(), input.size(model_.width), no_token);
    s.rows_.push_back(std::move(rows));
}

const float* Sequence::row_at(int pos, int width) const noexcept {
    if (ids_[static_cast<size_t>(pos)] != no_token) return nullptr;
    const auto behind = std::upper_bound(rows_.begin(), rows_.end(), pos,
                                         [](int p, const EmbeddedRows& rows) { return p < rows.first_pos; });
    const EmbeddedRows& rows = *std::prev(behind);
    return rows.values->data() + static_cast<size_t>(pos - rows.first_pos) * static_cast<size_t>(width);
}

// Tells the log what a call has noted, when the lock is not held any more.
struct Engine::Telling {
    Engine& engine;
    ~Telling() { engine.tell(); }
};

void Engine::tell() noexcept {
    if (!model_.log) return;
    std::vector<std::string> notes;
    {
        const std::unique_lock lock(mutex_);
        notes.swap(notes_);
    }
    for (const std::string& note : notes) model_.log.write(LogLevel::debug, note);
}

// On every way out of calls, an exception of take or progress too.
struct Engine::Leave {
    Engine& engine;
    std::unique_lock<std::mutex>& lock;
    Caller& own;

    ~Leave() {
        if (!lock.owns_lock()) lock.lock();
        for (Call* call = own.calls; call != nullptr; call = call->next) {
            call->tells = true;
            own.changed.wait(lock, [call] { return !call->in_pass; });
            engine.leave(*call);
        }
        engine.change();
    }
};

Result<void> Engine::extend(Sequence& s, const Input& input, const Outputs& outputs, const Progress& progress) {
    const Telling telling{*this};
    Caller own;
    std::unique_lock lock(mutex_);
    Call call(own, s, outputs);
    const Leave leaving{*this, lock, own};
    call.tells = bool(progress);
    enter(call, input);
    double fraction = 0;
    while (!call.done) {
        advance(lock, own);
        if (!call.moved || !progress) continue;
        call.moved = false;
        fraction = std::max(fraction, call.fraction());  // less is computed of a text that was set aside
        lock.unlock();
        if (!progress(fraction)) call.stopped = true;
        lock.lock();
    }
    call.returned = true;
    return call.result;
}

void Engine::step(std::span<Extension> work) {
    const Telling telling{*this};
    Caller own;
    own.once = true;
    std::unique_lock lock(mutex_);
    std::deque<Call> calls;
    const Leave leaving{*this, lock, own};
    for (Extension& e : work) enter(calls.emplace_back(own, *e.sequence, *e.outputs), e.ids);
    const auto at_work = [](const Call& c) { return !c.done && (c.in_pass || !c.has_had_its_pass()); };
    while (std::any_of(calls.begin(), calls.end(), at_work)) advance(lock, own);
    for (size_t i = 0; i < work.size(); ++i) {
        Call& call = calls[i];
        call.returned = true;
        work[i].result = call.result;
        work[i].computed = call.done && call.result;
    }
}

void Engine::enter(Call& call, const Input& input) {
    Sequence& s = *call.sequence;
    drop_drafted(s);
    put(s, input);
    // Where all is computed but the logits, the last token is computed once more.
    const bool lacks_logits = call.outputs->keeps_logits && model_.has_head && !s.has_logits_ && !s.ids_.empty();
    if (lacks_logits) go_back(s, static_cast<int>(s.ids_.size()) - 1);
    if (static_cast<size_t>(s.n_computed_) == s.ids_.size()) {
        if (call.outputs->pins) s.pinned_by_ = call.caller->thread;
        return call.finish({});
    }
    calls_.push_back(&call);
    call.writes = input.ids.size() == 1 && call.is_short();
    s.has_logits_ = false;
    if (s.awaited_) s.n_late_ = 0;
    if (call.writes)
        stop_awaiting(s);
    else
        forget_writer(s);
}

// Makes a pass, or waits until something changes.
void Engine::advance(std::unique_lock<std::mutex>& lock, Caller& own) {
    for (Call* call = own.calls; call != nullptr; call = call->next) {
        if (!call->done && !call->in_pass && call->cancelled()) call->finish(call->cancelled_error());
    }
    if (!may_drive(own)) return wait(lock, own);
    if (make_pass(lock, own)) return;
    own.idle_since = n_changes_;
    wait(lock, own);
}

bool Engine::may_drive(const Caller& own) const noexcept {
    if (passing_ || n_reserving_ > 0 || own.idle_since == n_changes_) return false;
    uint64_t served = UINT64_MAX;
    for (const Call* call = own.calls; call != nullptr; call = call->next) {
        if (!call->done) served = std::min(served, call->sequence->served_);
    }
    // Rows that are taken are taken on the thread of their call, which therefore has to make the pass: if it has waited
    // longer, it goes first.
    return served < UINT64_MAX && std::none_of(calls_.begin(), calls_.end(), [&](const Call* c) {
               return c->caller != &own && !c->done && c->outputs->take && c->caller->sleeps &&
                      c->caller->idle_since != n_changes_ && c->sequence->served_ < served;
           });
}

// Wakes a thread to make the next pass, where none does.
void Engine::hand_over() noexcept {
    if (passing_) return;
    const auto next = std::find_if(calls_.begin(), calls_.end(),
                                   [&](const Call* c) { return c->caller->sleeps && may_drive(*c->caller); });
    if (next != calls_.end()) (*next)->caller->changed.notify_one();
}

// To be called when something has changed that calls which found nothing to do, or no room, may wait for.
void Engine::change() noexcept {
    ++n_changes_;
    changed_.notify_all();
    hand_over();
}

void Engine::leave(Call& call) noexcept {
    std::erase(calls_, &call);
    Sequence& s = *call.sequence;
    if (call.returned && !call.done) return cut(s, static_cast<int>(call.base));
    if (call.returned && call.result) return;
    const bool cancelled = call.returned && call.result.error().status() == Status::cancelled;
    const size_t computed = static_cast<size_t>(s.n_computed_);
    cut(s, static_cast<int>(cancelled ? std::max(call.base, std::min(computed, s.ids_.size())) : call.base));
    s.has_logits_ = false;
}

// Until something changes. Nobody can wake a thread from a signal handler, so a cancel is looked for now and then, as
// is the function that the host has given for this thread, which may call into the engine itself.
void Engine::wait(std::unique_lock<std::mutex>& lock, Caller& own) {
    constexpr auto now_and_then = std::chrono::milliseconds(5);
    if (!own.at_work()) return;
    hand_over();
    own.sleeps = true;
    if (own.changed.wait_for(lock, now_and_then) == std::cv_status::timeout) own.idle_since = UINT64_MAX;
    own.sleeps = false;
    if (!own.at_work()) return;
    lock.unlock();
    for (Call* call = own.calls; call != nullptr; call = call->next) call->sequence->cancel_.cancelled(0);
    lock.lock();
}

Result<void> Engine::read(Sequence& s, const Read& body) {
    Outputs outputs;
    outputs.keeps_logits = s.has_logits_;
    outputs.pins = true;
    if (auto done = extend(s, {}, outputs, {}); !done) return done;
    struct Pinned {
        Engine& engine;
        Sequence& sequence;
        ~Pinned() {
            const std::unique_lock lock(engine.mutex_);
            sequence.pinned_by_ = {};
            engine.change();
        }
    } const pinned{*this, s};
    auto memory = s.cache_.needed(s.n_past());
    if (!s.state_.empty()) memory.push_back(s.state_.bytes());
    return body(memory);
}

Result<void> Engine::restore(Sequence& s, std::vector<int32_t> ids, std::vector<EmbeddedRows> rows, bool has_logits,
                             const Fill& fill) {
    if (inside())
        return Error(Status::busy, "called from a function that a pass of the same model calls: it must end first",
                     "session");
    const SequenceOptions& o = s.options_;
    const auto n = static_cast<int>(ids.size());
    ids.reserve(static_cast<size_t>(o.n_ctx));
    std::vector<std::byte> state(s.state_.bytes().size());
    std::vector<float> logits(has_logits ? s.row_size_ : 0);
    KvCache cache;
    const Telling telling{*this};
    // With the lock held, whatever happens.
    struct Close {
        Engine& engine;
        Sequence& sequence;
        KvCache& cache;
        ~Close() {
            const std::unique_lock lock(engine.mutex_);
            cache.clear();
            sequence.pinned_by_ = {};
            engine.change();
        }
    } const closing{*this, s, cache};
    {
        std::unique_lock lock(mutex_);
        auto made = KvCache::make(model_.cache_layers, o.cache_type, o.n_ctx, o.max_batch, pool_);
        if (!made) return std::move(made).error();
        cache = *std::move(made);
        if (auto room = take_room(lock, s, cache, n); !room) return room;
        s.pinned_by_ = std::this_thread::get_id();  // others that need room wait until it is restored
    }
    auto memory = cache.needed(n);
    if (!state.empty()) memory.emplace_back(state);
    if (auto done = fill(logits, memory); !done) return done;
    const std::unique_lock lock(mutex_);
    std::swap(s.cache_, cache);
    if (!state.empty()) std::memcpy(s.state_.bytes().data(), state.data(), state.size());
    s.state_.restored(n);
    s.ids_ = std::move(ids);
    s.n_drafted_ = 0;
    s.rows_ = std::move(rows);
    s.n_computed_ = n;
    s.n_kept_ = 0;
    if (has_logits) s.logits_ = std::move(logits);
    s.logits_row_ = 0;
    s.has_logits_ = has_logits;
    return {};
}

// The pages of a text of n tokens that is to take the place of s. That one is set aside if need be: should it stay, it
// is computed anew.
Result<void> Engine::take_room(std::unique_lock<std::mutex>& lock, Sequence& s, KvCache& cache, int n) {
    static const Outputs none;
    Caller own;
    const Call call(own, s, none);
    while (!cache.take_needed(n)) {
        if (make_room(call)) continue;
        if (!s.cache_.empty()) {
            set_aside(s);
            continue;
        }
        const bool others_work = std::any_of(calls_.begin(), calls_.end(), [](const Call* c) { return !c->done; });
        if (!others_work && !awaits_pins(call)) return no_room(*pool_, static_cast<size_t>(n));
        cache.clear();  // who waits holds nothing that others may wait for
        changed_.wait_for(lock, std::chrono::milliseconds(5));
    }
    return {};
}

// Whether another thread is about to let go of a text that it saves or restores. Who does so too must not wait for
// that.
bool Engine::awaits_pins(const Call& call) const noexcept {
    const auto pinned = [&](bool by_caller) {
        return std::any_of(sequences_.begin(), sequences_.end(), [&](const Sequence* s) {
            return s->pinned_by_ != std::thread::id() && (s->pinned_by_ == call.caller->thread) == by_caller;
        });
    };
    return pinned(false) && !pinned(true);
}

void Engine::set_aside(Sequence& s) noexcept {
    if (model_.log) {
        try {
            notes_.push_back(cat(model_.name, ": a text of ", s.ids_.size(), " tokens is set aside: others need its ",
                                 "pages; it is computed anew when it goes on"));
        } catch (const std::bad_alloc&) {
        }
    }
    s.cache_.clear();
    s.state_.go_back(0);
    s.n_computed_ = s.n_kept_ = 0;
}

double Engine::seconds_of_token() const {
    const std::unique_lock lock(mutex_);
    return n_passes_ == 0 ? 0 : schedule_.seconds(1);
}

Engine::Held Engine::held() const {
    const std::unique_lock lock(mutex_);
    return {pool_->used(), pool_->reserved(), scratch_memory_.size()};
}

}  // namespace elver
