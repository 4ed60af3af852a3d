// The commands that write model files: synth, pack. And models without a file, for bench.
#include <cstdio>
#include <memory>
#include <stdexcept>

#include "commands.hpp"
#include "progress.hpp"

namespace elver::cli {

namespace {

elver_sink path_sink(const std::string& path) {
    elver_sink sink = ELVER_SINK_INIT;
    sink.path = path.data();
    sink.path_size = path.size();
    return sink;
}

}  // namespace

int run_synth(const Options& o) {
    until_signal([&] { write_synth(o.synthetic, o.layers, path_sink(o.output), Meter("writing")); });
    return 0;
}

int run_pack(const Options& o) {
    const Model model = Model::open(o.model, model_options(o));
    until_signal([&] { model.pack(path_sink(o.output), Meter("packing")); });
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
