#include <unistd.h>
#include <cstdio>

#include "commands.hpp"

namespace elver::cli {

int run_quantize(const Options& o) {
    const bool terminal = isatty(STDERR_FILENO) != 0;
    const auto progress = [terminal](double fraction) {
        if (terminal) std::fprintf(stderr, fraction < 1 ? "\rquantising: %3.0f %%" : "\r\033[K", fraction * 100);
        return true;
    };
    quantize(o.model, o.output, o.type, progress, o.threads);
    return 0;
}

}  // namespace elver::cli
