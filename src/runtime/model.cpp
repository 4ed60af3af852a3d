#include "runtime/model.hpp"

#include <algorithm>

#include "base/cpu.hpp"
#include "base/text.hpp"
#include "kernels/select.hpp"
#include "models/gguf_spec.hpp"
#include "runtime/session.hpp"

namespace elver {

namespace {

// Keys below "tokenizer." to what the tokenizer's room takes; the first wrong type is kept.
class VocabReader {
  public:
    explicit VocabReader(const Gguf& file) : file_(file) {}

    Result<VocabSource> read() {
        VocabSource v;
        v.name = file_.name();
        v.architecture = text("general.architecture", "");
        v.model = text("tokenizer.ggml.model", "");
        v.pre = text("tokenizer.ggml.pre", "");
        if (v.model.empty())
            fail(Error(Status::bad_file,
                       cat(file_.name(), ": key \"tokenizer.ggml.model\" is missing: the file holds no vocabulary"),
                       "tokenizer.ggml.model"));
        strings("tokenizer.ggml.tokens", v.tokens);
        strings("tokenizer.ggml.merges", v.merges);
        numbers("tokenizer.ggml.scores", v.scores);
        numbers("tokenizer.ggml.token_type", v.types);
        const std::pair<const char*, std::optional<int32_t>*> ids[] = {
            {"bos_token_id", &v.bos},     {"eos_token_id", &v.eos},     {"eot_token_id", &v.eot},
            {"eom_token_id", &v.eom},     {"unknown_token_id", &v.unk}, {"seperator_token_id", &v.sep},
            {"padding_token_id", &v.pad}, {"cls_token_id", &v.cls},     {"mask_token_id", &v.mask},
        };
        for (const auto& [key, out] : ids) integer(cat("tokenizer.ggml.", key), *out);
        flag("tokenizer.ggml.add_bos_token", v.add_bos);
        flag("tokenizer.ggml.add_eos_token", v.add_eos);
        flag("tokenizer.ggml.add_sep_token", v.add_sep);
        flag("tokenizer.ggml.add_space_prefix", v.add_space_prefix);
        flag("tokenizer.ggml.remove_extra_whitespaces", v.remove_extra_whitespaces);
        if (error_) return std::move(*error_);
        return v;
    }

  private:
    void fail(Error error) {
        if (!error_) error_.emplace(std::move(error));
    }
    std::string text(std::string_view key, std::string_view fallback) {
        const auto value = file_.get_string_or(key, fallback);
        if (!value) return fail(value.error()), std::string();
        return std::string(*value);
    }
    void strings(std::string_view key, std::vector<std::string_view>& out) {
        const GgufValue* value = file_.find(key);
        if (value == nullptr) return;
        if (value->type() != GgufType::array || value->element_type() != GgufType::string)
            return fail(file_.key_error(key, "an array of strings", gguf_type_name(value->type())));
        out.reserve(value->size());
        for (size_t i = 0; i < value->size(); ++i) out.push_back(value->string_element(i));
    }
    template <class T>
    void numbers(std::string_view key, std::vector<T>& out) {
        const GgufValue* value = file_.find(key);
        if (value == nullptr) return;
        if (value->type() != GgufType::array || (value->size() > 0 && !value->float_element(0)))
            return fail(file_.key_error(key, "an array of numbers", gguf_type_name(value->type())));
        out.reserve(value->size());
        for (size_t i = 0; i < value->size(); ++i) out.push_back(static_cast<T>(value->float_element(i).value_or(0)));
    }
    void integer(const std::string& key, std::optional<int32_t>& out) {
        if (file_.find(key) == nullptr) return;
        const auto value = file_.get_int(key);
        if (!value) return fail(value.error());
        if (*value < -1 || (*value > INT32_MAX && *value != 0xffffffff))
            return fail(file_.key_error(key, "a token id", cat(*value)));
        if (*value >= 0 && *value <= INT32_MAX) out = static_cast<int32_t>(*value);
    }
    void flag(std::string_view key, std::optional<bool>& out) {
        if (file_.find(key) == nullptr) return;
        const auto value = file_.get_bool_or(key, false);
        if (!value) return fail(value.error());
        out = *value;
    }

    const Gguf& file_;
    std::optional<Error> error_;
};

}  // namespace

Result<std::shared_ptr<const Tokenizer>> tokenizer_from_gguf(const Gguf& file) {
    auto source = VocabReader(file).read();
    if (!source) return std::move(source).error();
    return Tokenizer::make(*std::move(source));
}

Result<std::shared_ptr<Model>> Model::open(ByteSource source, const ModelOptions& options) {
    std::shared_ptr<Model> m(new Model());
    auto file = Gguf::parse(std::move(source));
    if (!file) return std::move(file).error();
    m->file_ = std::make_unique<Gguf>(*std::move(file));
    auto spec = spec_from_gguf(*m->file_);
    if (!spec) return std::move(spec).error();
    m->spec_ = *std::move(spec);
    auto kernels = options.isa.empty() ? select_kernels() : find_kernels(options.isa);
    if (!kernels) return std::move(kernels).error();
    m->kernels_ = *kernels;
    m->weights_ = std::make_unique<Weights>(*m->file_, *m->kernels_);
    auto builder = ModelBuilder::plan(m->spec_, *m->file_, *m->weights_);
    if (!builder) return std::move(builder).error();
    m->builder_ = *std::move(builder);
    auto tokenizer = tokenizer_from_gguf(*m->file_);
    if (!tokenizer) return std::move(tokenizer).error();
    m->tokenizer_ = *std::move(tokenizer);
    auto pool = ThreadPool::make(options.n_threads > 0 ? options.n_threads : usable_cores());
    if (!pool) return std::move(pool).error();
    m->pool_ = *std::move(pool);
    const auto text = m->file_->get_string_or("tokenizer.chat_template", "");
    if (!text) return text.error();
    if (!text->empty()) m->template_ = ChatTemplate::parse(std::string(*text));
    // A program over weights that are not there yet: it knows every width, so the plan is exact.
    m->program_ = m->builder_->build(*m->weights_);
    const Plan plan = m->plan(options.session);
    if (options.budget_bytes > 0 && plan.total() > options.budget_bytes) {
        return Error(Status::over_budget,
                     cat(m->file_->name(), ": needs ", plan.total(), " bytes (weights ", plan.weights, ", KV cache ",
                         plan.kv_cache, " for ", plan.n_ctx, " positions, scratch ", plan.scratch, "), the budget is ",
                         options.budget_bytes),
                     "budget_bytes");
    }
    return m;
}

Result<void> Model::load(const Progress& progress, const CancelToken* cancel) {
    if (loaded_) return {};
    auto done = weights_->load(*pool_, progress, cancel);
    if (!done) return done;
    program_ = builder_->build(*weights_);
    loaded_ = true;
    return {};
}

SessionOptions Model::effective(const SessionOptions& options) const noexcept {
    SessionOptions out = options;
    if (out.n_ctx <= 0) out.n_ctx = std::min(spec_.n_ctx_train, 4096);
    if (out.max_batch <= 0) out.max_batch = 512;
    out.max_batch = std::min(out.max_batch, out.n_ctx);
    if (!out.cache_type) out.cache_type = kernels_->reads_packs ? CacheType::f16 : CacheType::f32;
    return out;
}

Plan Model::plan(const SessionOptions& options) const {
    const SessionOptions o = effective(options);
    Plan plan;
    plan.weights = weights_->n_bytes();
    plan.kv_cache = KvCache::plan_bytes(cache_layers(), *o.cache_type, o.n_ctx, o.max_batch);
    plan.scratch = program_->plan_scratch(o.max_batch, outputs_at_once, pool_->n_threads()).n_bytes;
    plan.n_ctx = o.n_ctx;
    plan.max_batch = o.max_batch;
    plan.cache_type = *o.cache_type;
    return plan;
}

Result<const ChatTemplate*> Model::chat_template() const {
    if (!template_) return static_cast<const ChatTemplate*>(nullptr);
    if (!*template_) {
        const Error& e = template_->error();
        return Error(e.status(), cat(file_->name(), ": key \"tokenizer.chat_template\": ", e.message()),
                     "tokenizer.chat_template");
    }
    return &**template_;
}

}  // namespace elver
