#include <algorithm>
#include <chrono>
#include <deque>

#include "answer/request.hpp"
#include "base/text.hpp"
#include "handles.hpp"

using namespace elver;
using namespace elver::capi;

namespace {

// A call in a session, which one thread at a time may use.
template <class Body>
elver_status in_session(elver_session* session, elver_error** error, Body&& body) noexcept {
    return in_object(session, "session", error, [&] { return body(*session->session); });
}

// Adds the time until it ends.
class Stopwatch {
  public:
    explicit Stopwatch(double& seconds) : seconds_(&seconds) {}
    ~Stopwatch() { *seconds_ += std::chrono::duration<double>(Clock::now() - start_).count(); }
    Stopwatch(const Stopwatch&) = delete;
    Stopwatch& operator=(const Stopwatch&) = delete;

  private:
    using Clock = std::chrono::steady_clock;
    double* seconds_;
    Clock::time_point start_ = Clock::now();
};

using Parse = Result<Request> (*)(const Model&, std::string_view);

elver_status begin(elver_session* session, const char* request, size_t size, const elver_answer_options* options,
                   Parse parse, elver_error** error) noexcept {
    if (request == nullptr) return null_argument(error, "request");
    return in_session(session, error, [&](Session& s) -> Result<void> {
        const auto o = read_struct<elver_answer_options>(options, ELVER_ANSWER_OPTIONS_INIT, "elver_answer_options");
        if (!o) return o.error();
        Session::Request call(s);
        auto parsed = parse(s.model(), {request, size});
        if (!parsed) return std::move(parsed).error();
        double seconds = 0;
        const auto begun = [&]() -> Result<Generator> {
            if (o->deferred != 0) return Generator::defer(s, parsed->ids, std::move(parsed->options));
            const Stopwatch watch(seconds);
            const auto n_cached = prefill_reusing(s, parsed->ids, progress_of(o->progress, o->context));
            if (!n_cached) return n_cached.error();
            return Generator::make(s, std::move(parsed->options), *n_cached);
        };
        auto generator = begun();
        if (!generator) return std::move(generator).error();
        session->generator.emplace(*std::move(generator));
        session->prompt_seconds = seconds;
        session->generation_seconds = 0;
        call.keep();
        return {};
    });
}

// What the generator has made, and what the handle keeps so that the event can borrow it.
elver_event event_of(elver_session& session, const Tokenizer& tokenizer) {
    const GenerateEvent& e = session.event;
    session.bytes = tokenizer.bytes(e.id, true);
    session.top_bytes.clear();
    session.top.clear();
    for (const TokenLogprob& t : e.top) session.top_bytes.push_back(tokenizer.bytes(t.id, true));
    for (size_t i = 0; i < e.top.size(); ++i) {
        const std::string& bytes = session.top_bytes[i];
        session.top.push_back({e.top[i].id, e.top[i].logprob, bytes.data(), bytes.size()});
    }
    elver_event event = ELVER_EVENT_INIT;
    event.kind = e.finish != FinishReason::none ? ELVER_EVENT_END : e.id < 0 ? ELVER_EVENT_PROGRESS : ELVER_EVENT_TEXT;
    event.id = e.id;
    event.text = e.text.c_str();
    event.text_size = e.text.size();
    event.bytes = session.bytes.data();
    event.n_bytes = session.bytes.size();
    event.finish = static_cast<int32_t>(e.finish);
    event.logprob = e.logprob;
    event.top = session.top.data();
    event.n_top = session.top.size();
    event.top_stride = sizeof(elver_logprob);
    event.seed = session.generator->seed();
    event.n_prompt = e.counts.prompt;
    event.n_cached = e.counts.cached;
    event.n_generated = e.counts.generated;
    event.n_drafted = e.counts.drafted;
    event.n_accepted = e.counts.accepted;
    event.n_unread = e.counts.unread;
    event.prompt_seconds = session.prompt_seconds;
    event.generation_seconds = session.generation_seconds;
    return event;
}

}  // namespace

elver_status elver_session_open(const elver_model* model, const elver_session_options* options, elver_session** out,
                                elver_error** error) {
    if (out == nullptr) return null_argument(error, "out");
    return with_model(model, error, [&](const Model&) -> Result<void> {
        const auto wanted = session_options(options);
        if (!wanted) return wanted.error();
        auto session = Session::make(model->model, *wanted);
        if (!session) return std::move(session).error();
        auto handle = std::make_unique<elver_session>();
        handle->model.model = model->model;
        handle->session = *std::move(session);
        *out = handle.release();
        return {};
    });
}

void elver_session_release(elver_session* session) {
    delete session;
}
int32_t elver_session_position(const elver_session* session) {
    return session == nullptr ? 0 : session->session->n_past();
}
int32_t elver_session_n_ctx(const elver_session* session) {
    return session == nullptr ? 0 : session->session->n_ctx();
}
const elver_model* elver_session_model(const elver_session* session) {
    return session == nullptr ? nullptr : &session->model;
}

void elver_session_cancel(elver_session* session) {
    if (session != nullptr) session->session->cancel();
}

elver_status elver_session_prefill(elver_session* session, const elver_input* input,
                                   const elver_prefill_options* options, elver_error** error) {
    return in_session(session, error, [&](Session& s) -> Result<void> {
        const auto o = read_struct<elver_prefill_options>(options, ELVER_PREFILL_OPTIONS_INIT, "elver_prefill_options");
        if (!o) return o.error();
        if (o->wanted == nullptr && o->n_wanted > 0)
            return Error(Status::invalid_argument, "wanted: expected a pointer, found NULL", "wanted");
        Session::OnLogits on_logits;
        if (o->on_logits != nullptr) {
            on_logits = [&](size_t index, std::span<const float> logits) {
                if (o->on_logits(index, logits.data(), logits.size(), o->context) == 0) s.cancel();
            };
        }
        std::optional<std::span<const size_t>> wanted;
        if (o->wanted != nullptr) wanted.emplace(o->wanted, o->n_wanted);
        std::vector<int32_t> ids;
        const auto read = read_input(input, s.model(), ids);
        if (!read) return read.error();
        return s.prefill(*read, on_logits, progress_of(o->progress, o->context), wanted);
    });
}

float* elver_session_logits(elver_session* session, size_t* n) {
    const std::span<float> logits = session == nullptr ? std::span<float>() : session->session->logits();
    if (n != nullptr) *n = logits.size();
    return logits.data();
}

elver_status elver_session_rewind(elver_session* session, int32_t position, elver_error** error) {
    return in_session(session, error, [&](Session& s) { return s.rewind(position); });
}

elver_status elver_session_save(elver_session* session, const elver_sink* sink, elver_error** error) {
    return in_session(session, error,
                      [&](Session& s) { return with_sink(sink, [&](const ByteSink& out) { return s.save(out); }); });
}

elver_status elver_session_restore(elver_session* session, const elver_source* source, elver_error** error) {
    return in_session(session, error, [&](Session& s) -> Result<void> {
        const auto bytes = open_source(source);
        if (!bytes) return bytes.error();
        return s.restore(bytes->bytes(), bytes->name());
    });
}

elver_status elver_session_fork(elver_session* session, elver_go_on go_on, void* context, elver_session** out,
                                elver_error** error) {
    if (out == nullptr) return null_argument(error, "out");
    return in_session(session, error, [&](Session& s) -> Result<void> {
        auto other = s.fork();
        if (!other) return std::move(other).error();
        auto handle = std::make_unique<elver_session>();
        handle->model.model = session->model.model;
        handle->session = *std::move(other);
        handle->session->cancel_token().watch(go_on, context);
        *out = handle.release();
        return {};
    });
}

elver_status elver_session_chat(elver_session* session, const char* request, size_t size,
                                const elver_answer_options* options, elver_error** error) {
    return begin(session, request, size, options, parse_chat_request, error);
}

elver_status elver_session_complete(elver_session* session, const char* request, size_t size,
                                    const elver_answer_options* options, elver_error** error) {
    return begin(session, request, size, options, parse_completion_request, error);
}

namespace {

// Where the time of an answer's next event goes.
double& clock_of(elver_session& session) {
    return session.generator->counts().unread > 0 ? session.prompt_seconds : session.generation_seconds;
}

Result<elver_event> readable(const elver_event* event, const elver_session& session) {
    auto known = read_struct<elver_event>(event, ELVER_EVENT_INIT, "elver_event");
    if (known && !session.generator)
        return Error(Status::invalid_argument,
                     "next: no answer was begun; call elver_session_chat() or elver_session_complete() first",
                     "session");
    return known;
}

// An item of a step, and the right to use its session.
struct Stepping {
    elver_step_item* item;
    std::optional<InUse> use;
    Error error = Error(Status::internal, "", "");
    bool steps = false;
    double* clock = nullptr;

    explicit Stepping(elver_step_item* i) : item(i) {
        const auto checked = check();
        steps = bool(checked);
        if (!checked) error = checked.error();
    }
    Result<void> check() {
        const auto null = [](const char* name) {
            return Error(Status::invalid_argument, cat(name, ": expected a pointer, found NULL"), name);
        };
        if (item->session == nullptr) return null("session");
        if (item->event == nullptr) return null("event");
        use.emplace(item->session->in_use);
        if (!*use)
            return Error(Status::busy, "the session is used by another thread now, or in the list twice", "session");
        const auto known = readable(item->event, *item->session);
        return known ? Result<void>() : known.error();
    }
    void answer(Result<GenerateEvent> event) {
        item->status = event ? ELVER_OK : fail(&item->error, event.error());
        if (!event) return;
        elver_session& s = *item->session;
        s.event = *std::move(event);
        write_struct<elver_event>(item->event, event_of(s, s.session->model().tokenizer()));
    }
};

}  // namespace

elver_status elver_session_next(elver_session* session, elver_event* event, elver_error** error) {
    if (event == nullptr) return null_argument(error, "event");
    return in_session(session, error, [&](Session& s) -> Result<void> {
        if (const auto known = readable(event, *session); !known) return known.error();
        {
            const Stopwatch watch(clock_of(*session));
            auto next = session->generator->next();
            if (!next) return std::move(next).error();
            session->event = *std::move(next);
        }
        write_struct<elver_event>(event, event_of(*session, s.model().tokenizer()));
        return {};
    });
}

elver_status elver_model_step(const elver_model* model, elver_step_item* items, size_t n_items, size_t stride,
                              elver_error** error) {
    if (model == nullptr) return null_argument(error, "model");
    if (items == nullptr && n_items > 0) return null_argument(error, "items");
    return guarded(error, [&]() -> Result<void> {
        if (stride < sizeof(elver_step_item))
            return Error(Status::invalid_argument,
                         cat("stride: expected ", sizeof(elver_step_item), " or more, found ", stride), "stride");
        const auto at = [&](size_t i) {
            return reinterpret_cast<elver_step_item*>(reinterpret_cast<std::byte*>(items) + i * stride);
        };
        for (size_t i = 0; i < n_items; ++i) {
            const auto known = read_struct<elver_step_item>(at(i), ELVER_STEP_ITEM_INIT, "elver_step_item");
            if (!known) return known.error();
            if (at(i)->struct_size < sizeof(elver_step_item))
                return Error(Status::invalid_argument,
                             cat("items ", i, ": struct_size: expected ", sizeof(elver_step_item)), "struct_size");
        }
        std::deque<Stepping> all;
        std::vector<StepItem> work;
        for (size_t i = 0; i < n_items; ++i) {
            at(i)->error = nullptr;
            if (all.emplace_back(at(i)).steps) work.push_back({&*at(i)->session->generator});
        }
        double seconds = 0;
        {
            const Stopwatch watch(seconds);
            for (Stepping& s : all)
                if (s.steps) s.clock = &clock_of(*s.item->session);
            step(*model->model, work);
        }
        size_t n = 0;
        for (Stepping& s : all) {
            if (s.steps) *s.clock += seconds;
            s.answer(s.steps ? std::move(work[n++].event) : Result<GenerateEvent>(s.error));
        }
        return {};
    });
}

elver_status elver_session_embed(elver_session* session, const elver_input* input, const elver_embed_options* options,
                                 float* out, size_t n_out, elver_error** error) {
    if (out == nullptr) return null_argument(error, "out");
    return in_session(session, error, [&](Session& s) -> Result<void> {
        const auto o = read_struct<elver_embed_options>(options, ELVER_EMBED_OPTIONS_INIT, "elver_embed_options");
        if (!o) return o.error();
        const auto width = static_cast<size_t>(s.model().spec().width);
        if (n_out != width)
            return Error(Status::invalid_argument, cat("n_out: expected ", width, ", found ", n_out), "n_out");
        if (o->pooling < ELVER_POOLING_DEFAULT || o->pooling > ELVER_POOLING_LAST)
            return Error(Status::invalid_argument, cat("pooling: expected 0 to 3, found ", o->pooling), "pooling");
        std::vector<int32_t> ids;
        const auto read = read_input(input, s.model(), ids);
        if (!read) return read.error();
        const auto found = s.embed(*read, static_cast<Pooling>(o->pooling), progress_of(o->progress, o->context));
        if (!found) return found.error();
        std::copy(found->begin(), found->end(), out);
        return {};
    });
}
