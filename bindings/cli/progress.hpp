// How far long work is, on the terminal, and how a signal ends it.
#pragma once

#include "elver/elver.hpp"

namespace elver::cli {

// A progress function: prints how far the work is where somebody looks, and says to stop after a signal that
// until_signal() waits for.
class Meter {
  public:
    explicit Meter(const char* what);
    bool operator()(double fraction) const;

  private:
    const char* what_;
    bool shown_;
};

// False after a signal that until_signal() waits for. Of the form of elver_go_on; the argument is not used.
int no_signal(void*);

// Calls work. Ctrl-C, a request to end and a closed terminal make Meter and no_signal() say to stop. When work has then
// failed, and so removed the file that it was writing, or was done already, they end the program as they would have
// done. A second one ends it at once.
void until_signal(void (*work)(const void*), const void* context);
template <class Work>
void until_signal(const Work& work) {
    until_signal([](const void* context) { (*static_cast<const Work*>(context))(); }, &work);
}

}  // namespace elver::cli
