// Chat and completion: streaming to the terminal, Ctrl-C, history.
#include <editline/readline.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "commands.hpp"

namespace elver::cli {

namespace {

// The session that Ctrl-C stops; null between answers. cancel is a store to an atomic, allowed in a signal handler.
std::atomic<elver_session*> answering{nullptr};
std::atomic<bool> interrupted{false};

void on_interrupt(int) {
    elver_session* session = answering.load();
    if (session == nullptr || interrupted.exchange(true)) std::_Exit(130);  // nothing to stop, or a second time: leave
    elver_session_cancel(session);
}

struct Answering {
    explicit Answering(const Session& s) {
        interrupted = false;
        answering = s.c();
    }
    ~Answering() { answering = nullptr; }
    Answering(const Answering&) = delete;
    Answering& operator=(const Answering&) = delete;
};

void put_sampling(Json& request, const Options& o, double default_temperature) {
    request["temperature"] = o.temperature >= 0 ? o.temperature : default_temperature;
    if (o.top_p >= 0) request["top_p"] = o.top_p;
    if (o.seed >= 0) request["seed"] = o.seed;
    if (o.max_tokens >= 0) request["max_tokens"] = o.max_tokens;
}

// A long prompt shows how far its reading is.
bool show_reading(double fraction) {
    if (isatty(STDERR_FILENO)) {
        if (fraction < 1)
            std::fprintf(stderr, "\rreading the prompt: %3.0f %%", fraction * 100);
        else
            std::fprintf(stderr, "\r\033[K");
    }
    return true;
}

std::string answer(Session& session, const Json& messages, const Options& o) {
    Json request{{"messages", messages}};
    put_sampling(request, o, 0.7);
    std::string text;
    const Answering guard(session);
    try {
        session.chat(request.dump(), show_reading);
        while (true) {
            const Event event = session.next();
            std::fwrite(event.text.data(), 1, event.text.size(), stdout);
            std::fflush(stdout);
            text += event.text;
            if (event.last()) {
                if (event.finish == ELVER_FINISH_CANCELLED) std::printf(" [stopped]");
                if (event.finish == ELVER_FINISH_LENGTH && o.max_tokens < 0) std::printf(" [the context is full]");
                break;
            }
        }
    } catch (const Error& e) {
        if (e.status() != ELVER_CANCELLED) throw;
        std::printf("[stopped]");
    }
    std::printf("\n");
    return text;
}

std::string history_file() {
    const char* state = std::getenv("XDG_STATE_HOME");
    const char* home = std::getenv("HOME");
    if (state != nullptr && *state != '\0') return std::string(state) + "/elver_history";
    return home != nullptr ? std::string(home) + "/.elver_history" : std::string();
}

}  // namespace

int run_chat(const Options& o) {
    const Model model = load_model(o);
    Session session(model, session_options(o));
    std::signal(SIGINT, on_interrupt);
    Json messages = Json::array();
    if (!o.system.empty()) messages.push_back({{"role", "system"}, {"content", o.system}});
    if (!o.question.empty()) {
        messages.push_back({{"role", "user"}, {"content", o.question}});
        answer(session, messages, o);
        return 0;
    }
    const std::string history = history_file();
    if (!history.empty()) read_history(history.c_str());
    std::fprintf(stderr, "Ctrl-C stops an answer, Ctrl-D leaves; /new begins a new conversation.\n");
    while (const std::unique_ptr<char, decltype(&std::free)> line{readline("> "), std::free}) {
        const std::string question(line.get());
        if (question.find_first_not_of(" \t") == std::string::npos) continue;
        add_history(question.c_str());
        if (!history.empty()) write_history(history.c_str());
        if (question == "/new") {
            while (messages.size() > (o.system.empty() ? 0u : 1u)) messages.erase(messages.size() - 1);
            continue;
        }
        messages.push_back({{"role", "user"}, {"content", question}});
        try {
            messages.push_back({{"role", "assistant"}, {"content", answer(session, messages, o)}});
        } catch (const Error& e) {
            std::fprintf(stderr, "elver: %s\n", e.what());
            messages.erase(messages.size() - 1);
        }
    }
    std::printf("\n");
    return 0;
}

int run_complete(const Options& o) {
    const Model model = load_model(o);
    Session session(model, session_options(o));
    Json request = Json::object();
    if (!o.tokens.empty())
        request["ids"] = parse_ids(o.tokens);
    else
        request["prompt"] = o.prompt_file.empty() ? o.prompt : read_file(o.prompt_file);
    put_sampling(request, o, 0.0);
    if (o.ignore_eos) request["ignore_eos"] = true;
    std::signal(SIGINT, on_interrupt);
    const Answering guard(session);
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    session.complete(request.dump(-1, ' ', false, Json::error_handler_t::replace));
    const int prompt_tokens = session.position();
    const auto read = Clock::now();
    std::string text;
    std::vector<int32_t> ids;
    elver_finish finish = ELVER_FINISH_NONE;
    while (finish == ELVER_FINISH_NONE) {
        const Event event = session.next();
        finish = event.finish;
        if (event.id >= 0) ids.push_back(event.id);
        text += event.text;
        if (!o.json) std::fwrite(event.text.data(), 1, event.text.size(), stdout), std::fflush(stdout);
    }
    static constexpr const char* names[] = {"none", "stop", "length", "cancelled"};
    const auto ms = [](auto span) { return std::chrono::duration<double, std::milli>(span).count(); };
    if (!o.json) return std::printf("\n"), 0;
    const Json out{{"text", text},
                   {"ids", ids},
                   {"finish_reason", names[finish]},
                   {"timings",
                    {{"prompt_tokens", prompt_tokens},
                     {"prompt_ms", ms(read - start)},
                     {"generated_tokens", ids.size()},
                     {"generate_ms", ms(Clock::now() - read)}}}};
    std::printf("%s\n", out.dump().c_str());
    return 0;
}

}  // namespace elver::cli
