#include "progress.hpp"

#include <unistd.h>
#include <csignal>
#include <cstdio>

namespace elver::cli {

namespace {

volatile std::sig_atomic_t came = 0;  // the signal; 0: none

constexpr int signals[] = {SIGINT, SIGTERM, SIGHUP};

void listen() {
    for (const int signal : signals) {
        struct sigaction before {};
        // One that was ignored when the program began, as by nohup, stays so.
        if (sigaction(signal, nullptr, &before) != 0 || before.sa_handler == SIG_IGN) continue;
        struct sigaction now {};
        now.sa_handler = [](int number) { came = number; };
        now.sa_flags = static_cast<int>(SA_RESETHAND);
        sigaction(signal, &now, nullptr);
    }
}

}  // namespace

Meter::Meter(const char* what) : what_(what), shown_(isatty(STDERR_FILENO) != 0) {}

bool Meter::operator()(double fraction) const {
    const bool on = came == 0;
    if (!shown_) return on;
    if (on && fraction < 1)
        std::fprintf(stderr, "\r%s: %3.0f %%", what_, fraction * 100);
    else
        std::fprintf(stderr, "\r\033[K");
    return on;
}

int no_signal(void*) {
    return came == 0;
}

void until_signal(void (*work)(const void*), const void* context) {
    listen();
    try {
        work(context);
    } catch (...) {
        if (came == 0) throw;
    }
    if (came == 0) return;
    std::signal(came, SIG_DFL);
    std::raise(came);
}

}  // namespace elver::cli
