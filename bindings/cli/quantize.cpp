#include "commands.hpp"
#include "progress.hpp"

namespace elver::cli {

int run_quantize(const Options& o) {
    until_signal([&] { quantize(o.model, o.output, o.type, Meter("quantising"), o.threads); });
    return 0;
}

}  // namespace elver::cli
