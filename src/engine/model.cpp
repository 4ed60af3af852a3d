#include "engine/model.hpp"

#include <algorithm>
#include <chrono>

#include "base/cpu.hpp"
#include "base/text.hpp"
#include "engine/session.hpp"
#include "formats/packed_file.hpp"
#include "kernels/select.hpp"
#include "models/gguf_spec.hpp"
#include "models/gguf_vocab.hpp"

namespace elver {

namespace {

// A vocabulary may be longer than the other's by what fills it up to a round size.
constexpr int most_padding = 256;

// Whether one model can guess the other's tokens: an error names the first that differs.
Result<void> check_draft(const Model& draft, const Model& model) {
    const std::string& name = draft.file().name();
    if (!draft.loaded() || !draft.spec().causal || !draft.spec().has_head)
        return Error(Status::invalid_argument, cat("draft: ", name, ": expected a loaded model that writes text"),
                     "draft");
    const Tokenizer &theirs = draft.tokenizer(), &ours = model.tokenizer();
    const int n_theirs = theirs.n_vocab(), n_ours = ours.n_vocab();
    if (std::abs(n_theirs - n_ours) > most_padding)
        return Error(Status::mismatch,
                     cat("draft: ", name, " has ", n_theirs, " tokens, ", model.file().name(), " ", n_ours), "draft");
    for (int32_t id = 0; id < std::min(n_theirs, n_ours); ++id) {
        const std::string a = theirs.bytes(id, true), b = ours.bytes(id, true);
        if (a == b) continue;
        return Error(Status::mismatch,
                     cat("draft: token ", id, " is ", in_quotes(a), " in ", name, " and ", in_quotes(b), " in ",
                         model.file().name()),
                     "draft");
    }
    return {};
}

}  // namespace

Result<std::shared_ptr<Model>> Model::open(ByteSource source, const ModelOptions& options) {
    std::shared_ptr<Model> m(new Model());
    m->log_ = options.log;
    auto file = Gguf::open(std::move(source));
    if (!file) return std::move(file).error();
    m->file_ = std::make_unique<Gguf>(*std::move(file));
    if (auto packs = read_packs(*m->file_); !packs) return std::move(packs).error();
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
    // A model whose vocabulary elver cannot use still runs on token ids.
    auto tokenizer = tokenizer_from_gguf(*m->file_);
    if (!tokenizer && tokenizer.error().status() == Status::unsupported) {
        m->log_.line(LogLevel::warning, tokenizer.error().message(), "; the model runs on token ids");
        tokenizer = textless_from_gguf(*m->file_);
    }
    if (!tokenizer) return std::move(tokenizer).error();
    m->tokenizer_ = *std::move(tokenizer);
    m->pool_ = options.pool;
    if (m->pool_ == nullptr) {
        auto pool = ThreadPool::make(options.n_threads > 0 ? options.n_threads : usable_cores());
        if (!pool) return std::move(pool).error();
        m->pool_ = *std::move(pool);
    }
    m->templates_ = templates_from_gguf(*m->file_);
    m->program_ = m->builder_->build(*m->weights_);
    m->executor_.emplace(m->program_, *m->weights_, *m->kernels_, *m->pool_);
    if (options.draft != nullptr) {
        if (auto checked = check_draft(*options.draft, *m); !checked) return std::move(checked).error();
        m->draft_ = options.draft;
    }
    m->tell_opened();
    if (options.pass_tokens < 0 || options.pass_sessions < 0 || !(options.gap >= 1 && options.gap <= 1000)) {
        return Error(Status::invalid_argument,
                     cat("pass_tokens, pass_sessions and gap: expected 0 or more, and 1 to 1000, found ",
                         options.pass_tokens, ", ", options.pass_sessions, " and ", options.gap),
                     "gap");
    }
    m->engine_options_.page_bytes = options.page_bytes;
    m->engine_options_.pass_tokens = options.pass_tokens;
    m->engine_options_.pass_texts = options.pass_sessions;
    m->engine_options_.gap = options.gap;
    m->session_ = options.session;
    const auto plan = m->plan(options.session);
    if (!plan) return plan.error();
    if (options.budget_bytes > 0 && plan->total() > options.budget_bytes) {
        const auto smallest = m->plan({.n_ctx = 1, .max_batch = 1, .cache_type = options.session.cache_type});
        return Error(Status::over_budget,
                     cat(m->file_->name(), ": needs ", plan->total(), " bytes (weights ", plan->weights, ", KV cache ",
                         plan->kv_cache, " for ", plan->n_ctx, " positions, scratch ", plan->scratch, " for passes of ",
                         plan->max_batch, " tokens), the budget is ", options.budget_bytes,
                         "; with a session of one position it needs ", (smallest ? *smallest : *plan).total()),
                     "budget_bytes");
    }
    return m;
}

Result<void> Model::load(const Progress& progress, const CancelToken* cancel) {
    if (loaded()) return {};
    if (auto free = check_free(); !free) return free;
    const auto start = std::chrono::steady_clock::now();
    auto done = weights_->load(*pool_, progress, cancel);
    if (!done) return done;
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
    log_.line(LogLevel::info, file_->name(), ": weights of ", weights_->n_bytes(), " bytes are ready after ",
              ms.count(), " ms");
    const auto plan = this->plan(session_);
    engine_options_.least_page_bytes = plan ? plan->kv_cache : 0;
    engine_ = std::make_unique<Engine>(engine_model(), engine_options_);
    return {};
}

// What was chosen, and what of the file is not used.
void Model::tell_opened() const {
    if (!log_) return;
    log_.line(LogLevel::info, file_->name(), ": ", spec_.architecture, ", ", spec_.n_layers, " layers; ",
              kernels_->name, " kernels, ", pool_->n_threads(), " threads");
    if (!templates_->chat && file_->find("tokenizer.chat_template") != nullptr)
        log_.line(LogLevel::warning, templates_->chat.error().message());
    size_t n_unused = 0;
    std::string_view first;
    for (const GgufTensor& tensor : file_->tensors()) {
        if (spec_.ignores(tensor.name) && n_unused++ == 0) first = tensor.name;
    }
    if (n_unused > 0)
        log_.line(LogLevel::info, file_->name(), ": tensors that are not used: ", n_unused, ", ", in_quotes(first),
                  n_unused > 1 ? " and others" : "");
}

Result<void> Model::check_free() const {
    if (!pool_->inside()) return {};
    return Error(Status::busy,
                 "called from a function that a pass of this model calls, or of one that shares its threads: the pass "
                 "must end first",
                 "model");
}

Result<void> Model::pack(const ByteSink& sink, const Progress& progress) const {
    if (auto free = check_free(); !free) return free;
    return weights_->write_packed(*pool_, sink, progress);
}

EngineModel Model::engine_model() const {
    EngineModel m;
    m.name = file_->name();
    m.log = log_;
    m.executor = &*executor_;
    m.cache_layers = cache_layers();
    m.state_layers = state_layers();
    m.n_vocab = spec_.n_vocab;
    m.width = spec_.width;
    m.causal = spec_.causal;
    m.has_head = spec_.has_head;
    for (const auto& op : program_.ops) {
        const auto* ropes = std::get_if<graph::RopeTables>(&op);
        if (ropes == nullptr) continue;
        for (const graph::RopeTable& table : ropes->tables) {
            if (!table.long_frequencies.empty()) m.long_beyond = table.long_beyond;
        }
    }
    return m;
}

SequenceOptions sequence_options(const SessionOptions& o) noexcept {
    return {.n_ctx = o.n_ctx, .max_batch = o.max_batch, .cache_type = *o.cache_type, .priority = o.priority};
}

Result<SessionOptions> Model::effective(const SessionOptions& options) const {
    if (options.n_ctx < 0 || options.max_batch < 0) {
        return Error(Status::invalid_argument,
                     cat("n_ctx and max_batch: expected 0 or more, found ", options.n_ctx, " and ", options.max_batch),
                     "n_ctx");
    }
    if (max_positions() > 0 && options.n_ctx > max_positions()) {
        return Error(Status::invalid_argument,
                     cat("n_ctx: ", file_->name(), " has learned ", max_positions(),
                         " positions: expected at most that many, found ", options.n_ctx),
                     "n_ctx");
    }
    if (options.n_keep < 0)
        return Error(Status::invalid_argument, cat("n_keep: expected 0 or more, found ", options.n_keep), "n_keep");
    SessionOptions out = options;
    if (out.n_ctx == 0) out.n_ctx = std::min(spec_.n_ctx_train, 4096);
    // A model that reads both ways reads a text in one pass.
    if (out.max_batch == 0) out.max_batch = spec_.causal ? 512 : out.n_ctx;
    out.max_batch = std::min(out.max_batch, out.n_ctx);
    if (out.context_policy == ContextPolicy::slide && out.n_keep > out.n_ctx - 2) {
        return Error(Status::invalid_argument,
                     cat("n_keep: of a context of ", out.n_ctx, " positions at most ", out.n_ctx - 2,
                         " can be kept when it slides, found ", out.n_keep),
                     "n_keep");
    }
    if (!out.cache_type) out.cache_type = kernels_->reads_packs ? CacheType::f16 : CacheType::f32;
    return out;
}

Result<Plan> Model::plan(const SessionOptions& options) const {
    const auto effective_options = effective(options);
    if (!effective_options) return effective_options.error();
    const SessionOptions& o = *effective_options;
    Plan plan;
    plan.weights = weights_->n_bytes();
    for (int i = 0; i < program_.hidden_begin; ++i)
        plan.token_weights += graph::weight_bytes(program_.ops[static_cast<size_t>(i)]);
    const EngineModel model = engine_model();
    plan.kv_cache = Engine::cache_bytes(model, sequence_options(o));
    plan.logits = Engine::logits_bytes(model);
    plan.scratch = Engine::scratch_bytes(model, sequence_options(o)) + plan.logits;
    plan.n_ctx = o.n_ctx;
    plan.max_batch = o.max_batch;
    plan.cache_type = *o.cache_type;
    return plan;
}

Result<Fit> Model::fit(uint64_t budget, const SessionOptions& options, int n_sessions) const {
    if (n_sessions < 0)
        return Error(Status::invalid_argument, cat("n_sessions: expected 0 or more, found ", n_sessions), "n_sessions");
    const bool seeks_context = options.n_ctx == 0;
    const auto sessions = static_cast<uint64_t>(std::max(n_sessions, 1));
    SessionOptions wanted = options;
    const bool slides = options.context_policy == ContextPolicy::slide;
    if (seeks_context) wanted.n_ctx = slides ? std::clamp(options.n_keep, 0, INT32_MAX - 2) + 2 : 1;
    const auto least = plan(wanted);
    if (!least) return least.error();
    Fit fit;
    fit.total = fit.least = least->total(sessions);
    if (fit.least > budget) return fit;
    fit.n_ctx = wanted.n_ctx;
    fit.n_sessions = static_cast<int>(sessions);
    if (seeks_context) {
        // The least that does not fit lies above fit.n_ctx and up to `beyond`.
        int64_t beyond = int64_t{spec_.n_ctx_train} + 1;
        while (beyond - fit.n_ctx > 1) {
            wanted.n_ctx = static_cast<int>(fit.n_ctx + (beyond - fit.n_ctx) / 2);
            const auto tried = plan(wanted);
            if (!tried) return tried.error();
            const uint64_t total = tried->total(sessions);
            if (total <= budget)
                fit.n_ctx = wanted.n_ctx, fit.total = total;
            else
                beyond = wanted.n_ctx;
        }
    } else if (n_sessions == 0) {
        const uint64_t each = least->kv_cache + least->logits;
        const uint64_t more = each == 0 ? INT32_MAX : (budget - fit.least) / each;
        fit.n_sessions = static_cast<int>(std::min<uint64_t>(more, INT32_MAX - 1)) + 1;
        fit.total = least->total(static_cast<uint64_t>(fit.n_sessions));
    }
    return fit;
}

}  // namespace elver
