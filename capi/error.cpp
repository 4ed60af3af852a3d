#include "handles.hpp"

namespace elver::capi {

elver_status fail(elver_error** out, const Error& error) noexcept {
    const auto status = static_cast<elver_status>(error.status());
    if (out == nullptr) return status;
    try {
        *out = new elver_error{status, error.message(), error.object()};
    } catch (const std::bad_alloc&) {
        *out = nullptr;  // no memory for words; the status says it
    }
    return status;
}

elver_status fail_text(elver_error** out, Status status, const char* message) noexcept {
    try {
        return fail(out, Error(status, message));
    } catch (const std::bad_alloc&) {
        if (out != nullptr) *out = nullptr;
        return static_cast<elver_status>(status);
    }
}

elver_status null_argument(elver_error** out, const char* name) noexcept {
    return guarded(out, [name]() -> Result<void> {
        return Error(Status::invalid_argument, cat(name, ": expected a pointer, found NULL"), name);
    });
}

Result<void> check_n_threads(int n_threads, const elver_threads* shared) {
    const bool beside = shared != nullptr && n_threads != 0;
    if (n_threads >= 0 && n_threads <= 1024 && !beside) return {};
    const char* expected = beside ? "0 beside threads that are shared" : "0 to 1024";
    return Error(Status::invalid_argument, cat("n_threads: expected ", expected, ", found ", n_threads), "n_threads");
}

Progress progress_of(elver_progress progress, void* context) {
    if (progress == nullptr) return {};
    return [=](double fraction) { return progress(fraction, context) != 0; };
}

Result<ByteSource> open_source(const elver_source* given) {
    if (given == nullptr) return Error(Status::invalid_argument, "source: expected a pointer, found NULL", "source");
    const auto s = read_struct<elver_source>(given, ELVER_SOURCE_INIT, "elver_source");
    if (!s) return s.error();
    const int n = (s->path != nullptr) + (s->fd >= 0) + (s->memory != nullptr);
    if (n != 1)
        return Error(Status::invalid_argument, cat("source: expected one of path, fd and memory, found ", n), "source");
    if (s->path != nullptr) return ByteSource::map_path({s->path, s->path_size});
    if (s->fd >= 0) return ByteSource::map_fd(s->fd, s->offset, s->length);
    return ByteSource::borrow({static_cast<const std::byte*>(s->memory), s->memory_size});
}

Result<std::optional<CacheType>> cache_type_of(int number) {
    switch (number) {
        case ELVER_CACHE_DEFAULT:
            return std::optional<CacheType>();
        case ELVER_CACHE_F32:
        case ELVER_CACHE_F16:
        case ELVER_CACHE_Q8_0:
        case ELVER_CACHE_Q4_0:
            return std::optional(static_cast<CacheType>(number - ELVER_CACHE_F32));
        default:
            return Error(Status::invalid_argument,
                         cat("cache_type: expected an elver_cache_type, 0 to 4, found ", number), "cache_type");
    }
}

Result<SessionOptions> session_options(const elver_session_options* given) {
    const auto o = read_struct<elver_session_options>(given, ELVER_SESSION_OPTIONS_INIT, "elver_session_options");
    if (!o) return o.error();
    if (o->n_ctx < 0)
        return Error(Status::invalid_argument, cat("n_ctx: expected 0 or more, found ", o->n_ctx), "n_ctx");
    if (o->max_batch < 0)
        return Error(Status::invalid_argument, cat("max_batch: expected 0 or more, found ", o->max_batch), "max_batch");
    const auto cache_type = cache_type_of(o->cache_type);
    if (!cache_type) return cache_type.error();
    if (o->context_policy != ELVER_CONTEXT_STOP && o->context_policy != ELVER_CONTEXT_SLIDE)
        return Error(Status::invalid_argument,
                     cat("context_policy: expected an elver_context_policy, 0 or 1, found ", o->context_policy),
                     "context_policy");
    return SessionOptions{.n_ctx = o->n_ctx,
                          .max_batch = o->max_batch,
                          .cache_type = *cache_type,
                          .go_on = o->go_on,
                          .context = o->context,
                          .priority = o->priority,
                          .context_policy = static_cast<ContextPolicy>(o->context_policy),
                          .n_keep = o->n_keep};
}

}  // namespace elver::capi

elver_status elver_error_status(const elver_error* error) {
    return error == nullptr ? ELVER_OK : error->status;
}
const char* elver_error_message(const elver_error* error) {
    return error == nullptr ? "" : error->message.c_str();
}
const char* elver_error_object(const elver_error* error) {
    return error == nullptr ? "" : error->object.c_str();
}
void elver_error_release(elver_error* error) {
    delete error;
}

const char* elver_text_data(const elver_text* text) {
    return text == nullptr ? "" : text->text.c_str();
}
size_t elver_text_size(const elver_text* text) {
    return text == nullptr ? 0 : text->text.size();
}
void elver_text_release(elver_text* text) {
    delete text;
}

const int32_t* elver_ids_data(const elver_ids* ids) {
    return ids == nullptr ? nullptr : ids->ids.data();
}
size_t elver_ids_size(const elver_ids* ids) {
    return ids == nullptr ? 0 : ids->ids.size();
}
void elver_ids_release(elver_ids* ids) {
    delete ids;
}
