#include "handles.hpp"
#include "runtime/measure.hpp"
#include "runtime/request.hpp"

using namespace elver;
using namespace elver::capi;

elver_status elver_model_open(const elver_source* source, const elver_model_options* options, elver_model** out,
                              elver_error** error) {
    if (out == nullptr) return null_argument(error, "out");
    return guarded(error, [&]() -> Result<void> {
        const auto o = read_struct<elver_model_options>(options, ELVER_MODEL_OPTIONS_INIT, "elver_model_options");
        if (!o) return o.error();
        if (o->n_threads < 0)
            return Error(Status::invalid_argument, cat("n_threads: expected 0 or more, found ", o->n_threads),
                         "n_threads");
        auto bytes = open_source(source);
        if (!bytes) return std::move(bytes).error();
        ModelOptions options_in;
        options_in.n_threads = o->n_threads;
        options_in.budget_bytes = o->budget_bytes;
        const auto session = session_options(o->session);
        if (!session) return session.error();
        options_in.session = *session;
        auto model = Model::open(*std::move(bytes), options_in);
        if (!model) return std::move(model).error();
        *out = new elver_model{*std::move(model)};
        return {};
    });
}

elver_status elver_model_load(elver_model* model, elver_progress progress, void* context, elver_error** error) {
    if (model == nullptr) return null_argument(error, "model");
    return guarded(error, [&]() -> Result<void> {
        Progress report;
        if (progress != nullptr) report = [=](double fraction) { return progress(fraction, context) != 0; };
        return model->model->load(report, nullptr);
    });
}

void elver_model_release(elver_model* model) {
    delete model;
}

elver_status elver_model_plan(const elver_model* model, const elver_session_options* options, elver_plan* plan,
                              elver_error** error) {
    if (model == nullptr) return null_argument(error, "model");
    if (plan == nullptr) return null_argument(error, "plan");
    return guarded(error, [&]() -> Result<void> {
        const auto o = read_struct<elver_session_options>(options, ELVER_SESSION_OPTIONS_INIT, "elver_session_options");
        if (!o) return o.error();
        const auto wanted = read_struct<elver_plan>(plan, ELVER_PLAN_INIT, "elver_plan");
        if (!wanted) return wanted.error();
        const auto session = session_options(*o);
        if (!session) return session.error();
        const Plan p = model->model->plan(*session);
        const size_t size = plan->struct_size;
        const elver_plan full{size,      p.weights, p.kv_cache,  p.scratch,
                              p.total(), p.n_ctx,   p.max_batch, static_cast<int32_t>(p.cache_type) + ELVER_CACHE_F32,
                              0};
        std::memcpy(static_cast<void*>(plan), &full, size < sizeof full ? size : sizeof full);
        return {};
    });
}

int32_t elver_model_n_vocab(const elver_model* model) {
    return model == nullptr ? 0 : model->model->spec().n_vocab;
}
int32_t elver_model_n_ctx_train(const elver_model* model) {
    return model == nullptr ? 0 : model->model->spec().n_ctx_train;
}

elver_status elver_model_describe(const elver_model* model, elver_describe what, elver_text** out,
                                  elver_error** error) {
    if (model == nullptr) return null_argument(error, "model");
    if (out == nullptr) return null_argument(error, "out");
    return guarded(error, [&]() -> Result<void> {
        const Model& m = *model->model;
        std::string text;
        switch (what) {
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
                text = m.program().describe();
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
                return Error(Status::invalid_argument, cat("what: expected 0 to 5, found ", static_cast<int>(what)),
                             "what");
        }
        *out = new elver_text{std::move(text)};
        return {};
    });
}

elver_status elver_model_measure(const elver_model* model, elver_machine* machine, elver_error** error) {
    if (model == nullptr) return null_argument(error, "model");
    if (machine == nullptr) return null_argument(error, "machine");
    return guarded(error, [&]() -> Result<void> {
        const auto wanted = read_struct<elver_machine>(machine, ELVER_MACHINE_INIT, "elver_machine");
        if (!wanted) return wanted.error();
        const auto measured = measure_machine(*model->model);
        if (!measured) return measured.error();
        const size_t size = machine->struct_size;
        const elver_machine full{size, measured->dot_ops_per_s, measured->read_bytes_per_s};
        std::memcpy(static_cast<void*>(machine), &full, size < sizeof full ? size : sizeof full);
        return {};
    });
}

elver_status elver_template_render(const elver_model* model, const char* source, size_t source_size,
                                   const char* variables, size_t variables_size, elver_text** out,
                                   elver_error** error) {
    if (model == nullptr && source == nullptr) return null_argument(error, "model");
    if (variables == nullptr) return null_argument(error, "variables");
    if (out == nullptr) return null_argument(error, "out");
    return guarded(error, [&]() -> Result<void> {
        const std::string_view text = source == nullptr ? std::string_view() : std::string_view(source, source_size);
        auto rendered =
            render_template(model == nullptr ? nullptr : model->model.get(), text, {variables, variables_size});
        if (!rendered) return std::move(rendered).error();
        *out = new elver_text{*std::move(rendered)};
        return {};
    });
}
