// Chat and completion: streaming to the terminal, Ctrl-C, history.
#include <editline/readline.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "commands.hpp"

namespace elver::cli {

namespace {

// The session that Ctrl-C stops; null between answers. cancel is a store to an atomic, allowed in a signal handler.
std::atomic<elver_session*> answering{nullptr};
// Where Ctrl-C goes while a line is edited, and how often it came since the last line.
sigjmp_buf new_line;
volatile std::sig_atomic_t editing = 0, interrupts = 0;

// The system may give the signal to any thread; only this one has a line to leave.
pthread_t talking;

void on_interrupt(int) {
    if (pthread_equal(pthread_self(), talking) == 0) {
        pthread_kill(talking, SIGINT);
        return;
    }
    elver_session* session = answering.load();
    interrupts = interrupts + 1;
    if (editing != 0) siglongjmp(new_line, 1);
    if (session == nullptr || interrupts > 1) std::_Exit(130);  // nothing to stop, or a second time: leave
    elver_session_cancel(session);
}

void listen_to_interrupts() {
    talking = pthread_self();
    std::signal(SIGINT, on_interrupt);
}

struct Answering {
    explicit Answering(const Session& s) {
        interrupts = 0;
        answering = s.c();
    }
    ~Answering() { answering = nullptr; }
    Answering(const Answering&) = delete;
    Answering& operator=(const Answering&) = delete;
};

using Line = std::unique_ptr<char, decltype(&std::free)>;

// A line from the user; null at its end (Ctrl-D, or a second Ctrl-C; one gives a new line).
Line read_line() {
    if (sigsetjmp(new_line, 1) != 0) {
        editing = 0;
        rl_deprep_terminal();
        std::fputs(interrupts > 1 ? "\n" : "\n(Ctrl-C again leaves)\n", stdout);
        if (interrupts > 1) return {nullptr, std::free};
    }
    editing = 1;
    rl_prep_terminal(1);  // else what is typed between the prompt and the first read is the terminal's, not the line's
    char* line = readline("> ");
    editing = 0;
    interrupts = 0;
    if (line == nullptr) std::puts("");
    return {line, std::free};
}

void put_sampling(Json& request, const Options& o, double default_temperature) {
    request["temperature"] = default_temperature;
    request.update(o.sampling);
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
        session.chat(dump(request), show_reading);
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

// Questions are private: the file is the user's alone. Empty where there is no place for it.
std::string history_file() {
    const char* state = std::getenv("XDG_STATE_HOME");
    const char* home = std::getenv("HOME");
    std::filesystem::path folder;
    if (state != nullptr && *state != '\0')
        folder = state;
    else if (home != nullptr && *home != '\0')
        folder = std::filesystem::path(home) / ".local/state";
    else
        return {};
    umask(077);
    std::error_code failed;
    std::filesystem::create_directories(folder / "elver", failed);
    return failed ? std::string() : (folder / "elver/history").string();
}

// What a conversation begins with.
Json beginning(const Options& o) {
    Json messages = Json::array();
    if (!o.system.empty()) messages.push_back({{"role", "system"}, {"content", o.system}});
    return messages;
}

void converse(Session& session, const Options& o) {
    // Before libedit starts, which looks at it once; its own handler would send Ctrl-C on to whichever thread comes.
    rl_catch_signals = 0;
    rl_initialize();
    const std::string history = history_file();
    if (!history.empty()) read_history(history.c_str());
    std::fprintf(stderr, "Ctrl-C stops an answer, Ctrl-D leaves; /new begins a new conversation.\n");
    Json messages = beginning(o);
    while (const Line line = read_line()) {
        const std::string question(line.get());
        if (question.find_first_not_of(" \t") == std::string::npos) continue;
        add_history(question.c_str());
        if (!history.empty()) write_history(history.c_str());
        if (question == "/quit" || question == "/exit") return;
        if (question == "/new") {
            messages = beginning(o);
            continue;
        }
        if (question[0] == '/') {
            std::fprintf(stderr, "There is /new (a new conversation) and /quit.\n");
            continue;
        }
        messages.push_back({{"role", "user"}, {"content", question}});
        try {
            messages.push_back({{"role", "assistant"}, {"content", answer(session, messages, o)}});
        } catch (const Error& e) {
            std::fprintf(stderr, "elver: %s%s\n", e.what(),
                         e.status() == ELVER_CONTEXT_FULL ? "; /new begins a new conversation" : "");
            messages.erase(messages.size() - 1);
        }
    }
}

}  // namespace

int run_chat(const Options& o) {
    const Model model = load_model(o);
    Session session(model, session_options(o));
    listen_to_interrupts();
    if (o.question.empty()) return converse(session, o), 0;
    Json messages = beginning(o);
    messages.push_back({{"role", "user"}, {"content", o.question}});
    answer(session, messages, o);
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
    listen_to_interrupts();
    const Answering guard(session);
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    session.complete(dump(request));
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
    std::printf("%s\n", dump(out).c_str());
    return 0;
}

}  // namespace elver::cli
