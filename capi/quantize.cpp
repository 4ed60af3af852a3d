#include "tools/quantize.hpp"

#include "handles.hpp"

using namespace elver;
using namespace elver::capi;

elver_status elver_quantize_file(const elver_source* source, const char* path, size_t path_size, const char* type,
                                 size_t type_size, int32_t n_threads, elver_progress progress, void* context,
                                 elver_error** error) {
    if (path == nullptr) return null_argument(error, "path");
    if (type == nullptr) return null_argument(error, "type");
    return guarded(error, [&]() -> Result<void> {
        const std::string_view name(type, type_size), to(path, path_size);
        const auto wanted = dtype_from_name(name);
        if (!wanted)
            return Error(Status::invalid_argument, cat("type: no element type is called ", in_quotes(name)), "type");
        if (n_threads < 0 || n_threads > 1024)
            return Error(Status::invalid_argument, cat("n_threads: expected 0 to 1024, found ", n_threads),
                         "n_threads");
        if (to.empty() || to.find('\0') != std::string_view::npos)
            return Error(Status::invalid_argument, cat("path: expected a file's name, found ", in_quotes(to)), "path");
        auto bytes = open_source(source);
        if (!bytes) return std::move(bytes).error();
        return quantize_file(*std::move(bytes), std::string(to), {*wanted, n_threads}, progress_of(progress, context));
    });
}
