#include "answers.hpp"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "line_editor.hpp"

namespace elver::cli {

namespace {

// The session that Ctrl-C stops; null between answers. elver_session_cancel is allowed in a signal handler.
std::atomic<elver_session*> answering{nullptr};
volatile std::sig_atomic_t n_interrupts = 0, in_conversation = 0;

void on_interrupt(int) {
    n_interrupts = n_interrupts + 1;
    elver_session* session = answering.load();
    if (n_interrupts == 1 && session != nullptr) return elver_session_cancel(session);
    if (n_interrupts == 1 && in_conversation != 0) return;
    LineEditor::restore_terminal();
    std::_Exit(130);
}

void on_end(int signal) {
    LineEditor::restore_terminal();
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

struct Answering {
    explicit Answering(const Session& s) {
        forget_interrupts();
        answering = s.c();
    }
    ~Answering() { answering = nullptr; }
    Answering(const Answering&) = delete;
    Answering& operator=(const Answering&) = delete;
};

// A long prompt shows how far its reading is.
bool show_reading(double fraction) {
    if (isatty(STDERR_FILENO) != 0)
        std::fprintf(stderr, fraction < 1 ? "\rreading the prompt: %3.0f %%" : "\r\033[K", fraction * 100);
    return true;
}

}  // namespace

void listen_to_interrupts(bool conversation) {
    in_conversation = conversation ? 1 : 0;
    std::signal(SIGINT, on_interrupt);
    if (!conversation) return;
    std::signal(SIGTERM, on_end);
    std::signal(SIGHUP, on_end);
}

int interrupts() {
    return n_interrupts;
}
void count_interrupt() {
    n_interrupts = n_interrupts + 1;
}
void forget_interrupts() {
    n_interrupts = 0;
}

Json Answer::json() const {
    Json out{{"text", text},
             {"ids", ids},
             {"finish_reason", finish == ELVER_FINISH_LENGTH ? "length" : "stop"},
             {"seed", last.seed},
             {"timings",
              {{"prompt_tokens", last.n_prompt},
               {"cached_tokens", last.n_cached},
               {"prompt_ms", last.prompt_seconds * 1e3},
               {"generated_tokens", last.n_generated},
               {"drafted_tokens", last.n_drafted},
               {"accepted_tokens", last.n_accepted},
               {"generate_ms", last.generation_seconds * 1e3}}}};
    if (finish == ELVER_FINISH_CANCELLED) out["cancelled"] = true;  // for which the API has no reason
    return out;
}

Json sampling_of(const Model& model, const Options& o) {
    SamplingDefaults defaults = sampling_defaults(model);
    Json request = defaults.source == "file" ? Json::object() : std::move(defaults.values);
    request.update(o.sampling);
    if (o.max_tokens >= 0) request["max_tokens"] = o.max_tokens;
    return request;
}

void begin_chat(Session& session, const std::string& request) {
    session.chat(request, show_reading);
}
void begin_completion(Session& session, const std::string& request) {
    session.complete(request, show_reading);
}

Answer answer(Session& session, Begin begin, const Json& request, const Options& o) {
    Answer out;
    const Answering guard(session);
    try {
        begin(session, dump(request));
        while (out.finish == ELVER_FINISH_NONE) {
            const Event event = out.last = session.next();
            out.finish = event.finish;
            if (event.id >= 0) out.ids.push_back(event.id);
            out.text += event.text;
            if (!o.json) std::fwrite(event.text.data(), 1, event.text.size(), stdout), std::fflush(stdout);
        }
    } catch (const Error& e) {
        if (e.status() != ELVER_CANCELLED) throw;
        out.finish = ELVER_FINISH_CANCELLED;
    }
    if (o.json) {
        std::printf("%s\n", dump(out.json()).c_str());
    } else {
        if (out.finish == ELVER_FINISH_CANCELLED) std::fputs(" [stopped]", stderr);
        if (out.finish == ELVER_FINISH_LENGTH && o.max_tokens < 0) std::fputs(" [the context is full]", stderr);
        std::puts("");
    }
    std::fflush(stdout);
    return out;
}

int run_complete(const Options& o) {
    const std::string prompt = o.prompt_file.empty() ? o.prompt : read_file(o.prompt_file);
    const std::optional<std::vector<int32_t>> ids = ids_of(o);
    const Model model = load_model(o);
    Session session(model, session_options(o));
    Json request = sampling_of(model, o);
    // Without a temperature: always the likeliest token, whatever the model's own defaults are.
    if (!o.sampling.contains("temperature")) {
        request.update(
            {{"temperature", 0}, {"repetition_penalty", 1}, {"frequency_penalty", 0}, {"presence_penalty", 0}});
        request.update(o.sampling);
    }
    if (ids)
        request["ids"] = *ids;
    else
        request["prompt"] = prompt;
    if (o.special) request["special"] = true;
    if (o.ignore_eos) request["ignore_eos"] = true;
    listen_to_interrupts(false);
    answer(session, begin_completion, request, o);
    return 0;
}

}  // namespace elver::cli
