// The commands that write model files: synth, pack. And models without a file, for bench.
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <stdexcept>

#include "commands.hpp"

namespace elver::cli {

namespace {

// Prints how far a file is, on a terminal.
class Meter {
  public:
    explicit Meter(const char* what) : what_(what), shown_(isatty(STDERR_FILENO) != 0) {}
    void operator()(double fraction) {
        if (!shown_) return;
        fraction < 1 ? std::fprintf(stderr, "\r%s: %3.0f %%", what_, fraction * 100) : std::fprintf(stderr, "\r\033[K");
    }

  private:
    const char* what_;
    bool shown_;
};

elver_sink path_sink(const std::string& path) {
    elver_sink sink = ELVER_SINK_INIT;
    sink.path = path.data();
    sink.path_size = path.size();
    return sink;
}

}  // namespace

int run_synth(const Options& o) {
    write_synth(o.synthetic, o.layers, path_sink(o.output), Meter("writing"));
    return 0;
}

int run_pack(const Options& o) {
    elver_model_options m = ELVER_MODEL_OPTIONS_INIT;
    m.n_threads = o.threads;
    Model::open(o.model, m).pack(path_sink(o.output), Meter("packing"));
    return 0;
}

Model open_synthetic(const Options& o, const elver_model_options& options) {
    // A file without a name: its pages may leave memory once they are packed.
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), std::fclose);
    if (!file) throw std::runtime_error("cannot create a temporary file for the synthetic model");
    elver_sink sink = ELVER_SINK_INIT;
    sink.fd = fileno(file.get());
    write_synth(o.synthetic, o.layers, sink, Meter("writing"));
    elver_source source = ELVER_SOURCE_INIT;
    source.fd = sink.fd;
    return Model::open(source, options);
}

}  // namespace elver::cli
