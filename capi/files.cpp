// Writing: sinks, packed models, synthetic models.
#include "base/file_writer.hpp"
#include "handles.hpp"
#include "tools/synth.hpp"

using namespace elver;
using namespace elver::capi;

Result<void> elver::capi::with_sink(const elver_sink* sink, const std::function<Result<void>(const ByteSink&)>& body) {
    if (sink == nullptr) return Error(Status::invalid_argument, "sink: expected a value, found NULL", "sink");
    const auto s = read_struct<elver_sink>(sink, ELVER_SINK_INIT, "elver_sink");
    if (!s) return s.error();
    if ((s->path != nullptr) + (s->fd >= 0) + (s->write != nullptr) != 1)
        return Error(Status::invalid_argument, "sink: expected exactly one of path, fd and write", "sink");
    if (s->path != nullptr) return write_file({s->path, s->path_size}, body);
    if (s->fd >= 0) return body(descriptor_sink(s->fd));
    return body([&](std::span<const std::byte> bytes) -> Result<void> {
        if (bytes.empty() || s->write(bytes.data(), bytes.size(), s->context) != 0) return {};
        return Error(Status::io, cat("sink: the function did not take ", bytes.size(), " bytes"), "sink");
    });
}

elver_status elver_model_pack(const elver_model* model, const elver_sink* sink, elver_progress progress, void* context,
                              elver_error** error) {
    return with_model(model, error, [&](const Model& m) {
        return with_sink(sink, [&](const ByteSink& out) { return m.pack(out, progress_of(progress, context)); });
    });
}

elver_status elver_synth_write(const char* name, size_t name_size, int32_t n_layers, const elver_sink* sink,
                               elver_progress progress, void* context, elver_error** error) {
    if (name == nullptr) return null_argument(error, "name");
    return guarded(error, [&]() -> Result<void> {
        const auto spec = parse_synth({name, name_size}, n_layers);
        if (!spec) return spec.error();
        return with_sink(sink,
                         [&](const ByteSink& out) { return write_synth(*spec, out, progress_of(progress, context)); });
    });
}
