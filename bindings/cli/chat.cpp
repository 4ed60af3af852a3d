// Chat: a question, or a conversation at a terminal or over a pipe.
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <stdexcept>

#include "answers.hpp"
#include "base/utf8.hpp"
#include "history.hpp"
#include "line_editor.hpp"

namespace elver::cli {

namespace {

// Where a conversation's questions come from.
class Questions {
  public:
    Questions() : edited_(LineEditor::available()), terminal_(isatty(STDIN_FILENO) != 0) {
        if (!edited_) return;
        for (std::string& question : history_.questions()) editor_.remember(std::move(question));
    }
    bool at_terminal() const { return terminal_; }

    // False at their end: Ctrl-D, a second Ctrl-C, or the end of the file.
    bool next(std::string& question) {
        do {
            if (!(edited_ ? type(question) : read(question))) return false;
        } while (question.find_first_not_of(" \t\n") == std::string::npos);
        if (edited_) editor_.remember(question);
        history_.add(question);
        return true;
    }

  private:
    bool type(std::string& question) {
        while (true) {
            const LineEditor::End end = editor_.read("> ", question);
            if (end == LineEditor::End::line) return forget_interrupts(), true;
            if (end == LineEditor::End::closed) return false;
            count_interrupt();
            if (interrupts() > 1) return false;
            std::fputs("(Ctrl-C again leaves)\n", stdout);
        }
    }
    // A line of any length, whatever bytes it has.
    bool read(std::string& question) {
        if (terminal_) std::fputs("> ", stdout), std::fflush(stdout);
        if (!std::getline(std::cin, question)) return false;
        if (question.ends_with('\r')) question.pop_back();
        constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
        if (first_ && question.starts_with(byte_order_mark)) question.erase(0, byte_order_mark.size());
        first_ = false;
        question = replace_invalid_utf8(question);
        return true;
    }

    bool edited_, terminal_, first_ = true;
    History history_;
    LineEditor editor_;
};

// What a conversation begins with.
Json beginning(const Options& o) {
    Json messages = Json::array();
    if (!o.system.empty()) messages.push_back({{"role", "system"}, {"content", o.system}});
    return messages;
}

std::string ask(Session& session, const Json& messages, const Json& sampling, const Options& o) {
    Json request = sampling;
    request["messages"] = messages;
    return answer(session, begin_chat, request, o).text;
}

int converse(Session& session, const Json& sampling, const Options& o) {
    Questions questions;
    if (questions.at_terminal())
        std::fprintf(stderr, "Ctrl-C stops an answer, Ctrl-D leaves; /new begins a new conversation.\n");
    Json messages = beginning(o);
    int code = 0;
    for (std::string question; questions.next(question);) {
        if (question == "/quit" || question == "/exit") break;
        if (question == "/new") {
            messages = beginning(o);
            continue;
        }
        if (question[0] == '/' && question.find_first_of(" /", 1) == std::string::npos) {
            std::fprintf(stderr, "There is /new (a new conversation) and /quit.\n");
            continue;
        }
        messages.push_back({{"role", "user"}, {"content", question}});
        try {
            messages.push_back({{"role", "assistant"}, {"content", ask(session, messages, sampling, o)}});
        } catch (const Error& e) {
            std::fprintf(stderr, "elver: %s%s\n", e.what(),
                         e.status() == ELVER_CONTEXT_FULL ? "; /new begins a new conversation" : "");
            messages.erase(messages.size() - 1);
            if (!questions.at_terminal()) code = 1;
        }
    }
    return code;
}

}  // namespace

int run_chat(const Options& o) {
    if (o.question && o.question->find_first_not_of(" \t\n") == std::string::npos)
        throw std::runtime_error("question: expected a text, found an empty one (without a question: a conversation)");
    const Model model = load_model(o);
    Session session(model, session_options(o));
    const Json sampling = sampling_of(model, o);
    listen_to_interrupts(!o.question && LineEditor::available());
    if (!o.question) return converse(session, sampling, o);
    Json messages = beginning(o);
    messages.push_back({{"role", "user"}, {"content", *o.question}});
    ask(session, messages, sampling, o);
    return 0;
}

}  // namespace elver::cli
