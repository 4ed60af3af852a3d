// Models as files: sinks, quantising, packed models, synthetic models.
#include "base/file_writer.hpp"
#include "elver/elver_experimental.h"
#include "handles.hpp"
#include "tools/quantize.hpp"
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

elver_status elver_model_quantize(const elver_source* source, const elver_sink* sink,
                                  const elver_quantize_options* options, elver_error** error) {
    if (options == nullptr) return null_argument(error, "options");
    return guarded(error, [&]() -> Result<void> {
        const auto o =
            read_struct<elver_quantize_options>(options, ELVER_QUANTIZE_OPTIONS_INIT, "elver_quantize_options");
        if (!o) return o.error();
        const std::string_view name = o->type == nullptr ? std::string_view() : std::string_view(o->type, o->type_size);
        const auto type = dtype_from_name(name);
        if (!type)
            return Error(Status::invalid_argument, cat("type: no element type is called ", in_quotes(name)), "type");
        if (auto good = check_n_threads(o->n_threads); !good) return good;
        auto bytes = open_source(source);
        if (!bytes) return std::move(bytes).error();
        return with_sink(sink, [&](const ByteSink& out) {
            return quantize_model(*std::move(bytes), out, {*type, o->n_threads}, progress_of(o->progress, o->context));
        });
    });
}

elver_status elver_model_pack(const elver_model* model, const elver_sink* sink, const elver_pack_options* options,
                              elver_error** error) {
    return with_model(model, error, [&](const Model& m) -> Result<void> {
        const auto o = read_struct<elver_pack_options>(options, ELVER_PACK_OPTIONS_INIT, "elver_pack_options");
        if (!o) return o.error();
        return with_sink(sink, [&](const ByteSink& out) { return m.pack(out, progress_of(o->progress, o->context)); });
    });
}

elver_status elver_model_synth(const elver_sink* sink, const elver_synth_options* options, elver_error** error) {
    if (options == nullptr) return null_argument(error, "options");
    return guarded(error, [&]() -> Result<void> {
        const auto o = read_struct<elver_synth_options>(options, ELVER_SYNTH_OPTIONS_INIT, "elver_synth_options");
        if (!o) return o.error();
        const std::string_view name = o->name == nullptr ? std::string_view() : std::string_view(o->name, o->name_size);
        const auto spec = parse_synth(name, o->n_layers);
        if (!spec) return spec.error();
        return with_sink(
            sink, [&](const ByteSink& out) { return write_synth(*spec, out, progress_of(o->progress, o->context)); });
    });
}
