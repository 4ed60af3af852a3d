#include "answer/request.hpp"
#include "handles.hpp"
#include "tools/measure.hpp"

using namespace elver;
using namespace elver::capi;

elver_status elver_model_open(const elver_source* source, const elver_model_options* options, elver_model** out,
                              elver_error** error) {
    if (out == nullptr) return null_argument(error, "out");
    return guarded(error, [&]() -> Result<void> {
        const auto o = read_struct<elver_model_options>(options, ELVER_MODEL_OPTIONS_INIT, "elver_model_options");
        if (!o) return o.error();
        if (auto good = check_n_threads(o->n_threads, o->threads); !good) return good;
        const auto session = session_options(o->session);
        if (!session) return session.error();
        auto bytes = open_source(source);
        if (!bytes) return std::move(bytes).error();
        ModelOptions wanted;
        wanted.pass_tokens = o->pass_tokens;
        wanted.pass_sessions = o->pass_sessions;
        if (o->prompt_gap != 0) wanted.gap = static_cast<double>(o->prompt_gap);
        wanted.n_threads = o->n_threads;
        wanted.pool = pool_of(o->threads);
        wanted.budget_bytes = o->budget_bytes;
        wanted.page_bytes = o->page_bytes;
        wanted.log = Log(o->log, o->log_context);
        wanted.session = *session;
        auto model = Model::open(*std::move(bytes), wanted);
        if (!model) return std::move(model).error();
        auto handle = std::make_unique<elver_model>();
        handle->model = *std::move(model);
        *out = handle.release();
        return {};
    });
}

elver_status elver_model_load(elver_model* model, elver_progress progress, void* context, elver_error** error) {
    if (model == nullptr) return null_argument(error, "model");
    if (AtWork::in(model) || model->loading.exchange(true)) return fail(error, model_busy());
    const elver_status status = guarded(error, [&]() -> Result<void> {
        const AtWork here(model);
        const std::unique_lock lock(model->mutex);
        return model->model->load(progress_of(progress, context), nullptr);
    });
    model->loading.store(false);
    return status;
}

void elver_model_release(elver_model* model) {
    delete model;
}

elver_status elver_model_plan(const elver_model* model, const elver_session_options* options, elver_plan* plan,
                              elver_error** error) {
    if (plan == nullptr) return null_argument(error, "plan");
    return with_model(model, error, [&](const Model& m) -> Result<void> {
        const auto wanted = read_struct<elver_plan>(plan, ELVER_PLAN_INIT, "elver_plan");
        if (!wanted) return wanted.error();
        const auto session = session_options(options);
        if (!session) return session.error();
        const auto planned = m.plan(*session);
        if (!planned) return planned.error();
        const Plan& p = *planned;
        write_struct<elver_plan>(plan, {0, p.weights, p.kv_cache, p.scratch, p.total(), p.n_ctx, p.max_batch,
                                        static_cast<int32_t>(p.cache_type) + ELVER_CACHE_F32, 0, p.token_weights});
        return {};
    });
}

elver_status elver_model_fit(const elver_model* model, uint64_t budget_bytes, const elver_session_options* options,
                             int32_t n_sessions, elver_fit* fit, elver_error** error) {
    if (fit == nullptr) return null_argument(error, "fit");
    return with_model(model, error, [&](const Model& m) -> Result<void> {
        const auto wanted = read_struct<elver_fit>(fit, ELVER_FIT_INIT, "elver_fit");
        if (!wanted) return wanted.error();
        const auto session = session_options(options);
        if (!session) return session.error();
        const auto found = m.fit(budget_bytes, *session, n_sessions);
        if (!found) return found.error();
        write_struct<elver_fit>(fit, {0, found->total, found->least, found->n_ctx, found->n_sessions});
        return {};
    });
}

int32_t elver_model_n_vocab(const elver_model* model) {
    return model == nullptr ? 0 : model->model->spec().n_vocab;
}
int32_t elver_model_width(const elver_model* model) {
    return model == nullptr ? 0 : model->model->spec().width;
}
int32_t elver_model_n_ctx_train(const elver_model* model) {
    return model == nullptr ? 0 : model->model->spec().n_ctx_train;
}

elver_status elver_model_describe(const elver_model* model, elver_describe what, elver_text** out,
                                  elver_error** error) {
    if (out == nullptr) return null_argument(error, "out");
    return with_model(model, error, [&](const Model& m) -> Result<void> {
        const int number = number_of(what);
        std::string text;
        switch (number) {
            case ELVER_DESCRIBE_METADATA:
                text = describe_metadata(m.file());
                break;
            case ELVER_DESCRIBE_TENSORS:
                text = describe_tensors(m.file());
                break;
            case ELVER_DESCRIBE_SPEC:
                text = m.spec().to_json();
                break;
            case ELVER_DESCRIBE_PROGRAM:
                text = graph::describe(m.program());
                break;
            case ELVER_DESCRIBE_TEMPLATE: {
                const auto source = m.file().get_string_or("tokenizer.chat_template", "");
                if (!source) return source.error();
                text = std::string(*source);
                break;
            }
            case ELVER_DESCRIBE_MACHINE:
                text = describe_machine(m);
                break;
            default:
                return Error(Status::invalid_argument, cat("what: expected 0 to 5, found ", number), "what");
        }
        *out = new elver_text{std::move(text)};
        return {};
    });
}
