// An answer as chat and complete give it: streamed to standard output, or as JSON, and stopped by Ctrl-C.
#pragma once

#include "commands.hpp"

namespace elver::cli {

struct Answer {
    std::string text;
    std::vector<int32_t> ids;
    elver_finish finish = ELVER_FINISH_NONE;
    Event last;  // counts, times and the seed; its text is gone
    Json json() const;
};

// Ctrl-C stops the answer at work, a second one leaves. Where there is nothing to stop it leaves at once, except in a
// conversation.
void listen_to_interrupts(bool conversation);
// How often Ctrl-C came since the last answer began, or since forget_interrupts().
int interrupts();
void count_interrupt();
void forget_interrupts();

// The fields of a request that say how tokens are chosen: the user's, then the model's.
Json sampling_of(const Model& model, const Options& o);

using Begin = void (*)(Session& session, const std::string& request);
void begin_chat(Session& session, const std::string& request);
void begin_completion(Session& session, const std::string& request);

// Gives the text out as it comes, unless JSON is wanted.
Answer answer(Session& session, Begin begin, const Json& request, const Options& o);

}  // namespace elver::cli
