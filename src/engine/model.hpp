// A loaded model: file, spec, weights, program, tokenizer and chat template. Immutable after load and shared by its
// sessions.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/checked.hpp"
#include "chat/template.hpp"
#include "cpu/executor.hpp"
#include "engine/engine.hpp"
#include "models/model_program.hpp"
#include "models/model_spec.hpp"
#include "tokenizer/tokenizer.hpp"
#include "weights/weights.hpp"

namespace elver {

// What an answer does when the context is full: it ends, or the text drops its older half, what begins it aside, and
// the rest is computed anew.
enum class ContextPolicy : uint8_t { stop, slide };

// What a session may hold. Zeros mean the default.
struct SessionOptions {
    int n_ctx = 0;                        // positions; default: the model's context, at most 4096
    int max_batch = 0;                    // tokens of a prefill pass; default 512
    std::optional<CacheType> cache_type;  // default: f16; f32 at the reference level
    CancelToken::GoOn go_on = nullptr;    // asked while a call works in the session; see CancelToken
    void* context = nullptr;              // given to it
    int priority = 0;                     // texts of a higher one go first, and are set aside last
    ContextPolicy context_policy = ContextPolicy::stop;
    int n_keep = 0;  // tokens at the text's beginning that slide never drops; the token that begins every text is one
};

class Model;

struct ModelOptions {
    int n_threads = 0;                 // default: usable_cores()
    std::shared_ptr<ThreadPool> pool;  // threads shared with other models; null: threads of its own
    Log log;
    std::string isa;            // a level's name; default: the best, or ELVER_FORCE_ISA
    uint64_t budget_bytes = 0;  // refuse to load when the plan for `session` needs more; 0: no limit
    uint64_t page_bytes = 0;    // the most that pages of all texts take; 0: as much as open sessions may need
    int pass_tokens = 0;        // the most tokens of a pass; 0: the largest max_batch of open sessions
    int pass_sessions = 0;      // the most sessions of a pass; 0: all that wait
    double gap = default_gap;   // how many times as long prompts may make the passes of sessions that write
    SessionOptions session;     // what the plan assumes
    // A smaller model of the same vocabulary, loaded: where a text repeats nothing, answers try what it guesses.
    std::shared_ptr<const Model> draft;
};

// Bytes, exact: what a loaded model holds when one session has filled its context. Scratch is shared by all sessions.
struct Plan {
    uint64_t weights = 0, kv_cache = 0, scratch = 0;
    uint64_t logits = 0;         // of scratch: what each further session adds to the cache
    uint64_t token_weights = 0;  // that a pass of one token reads
    // The most that there can be where it is more than a number holds.
    uint64_t total(uint64_t n_sessions = 1) const noexcept {
        const auto others = checked_mul(n_sessions - 1, kv_cache + logits);
        const auto all = others ? checked_add(weights + scratch + kv_cache, *others) : others;
        return all.value_or(UINT64_MAX);
    }
    int n_ctx = 0, max_batch = 0;
    CacheType cache_type = CacheType::f16;
};

// What a budget allows: sessions that it has room for, and what they take.
struct Fit {
    int n_ctx = 0, n_sessions = 0;  // 0: not even the least fits
    uint64_t total = 0;             // bytes of these, or of the least
    uint64_t least = 0;             // bytes of the least that was asked for
};

class Model {
  public:
    // Reads and checks the directory, tokenizer and template; packs nothing.
    static Result<std::shared_ptr<Model>> open(ByteSource source, const ModelOptions& options);
    // Packs the weights. Once; an error or cancellation leaves nothing allocated.
    Result<void> load(const Progress& progress, const CancelToken* cancel);
    bool loaded() const noexcept { return engine_ != nullptr; }

    Result<Plan> plan(const SessionOptions& options) const;
    // With options.n_ctx 0 the largest context, up to the model's own, that n_sessions (0: one) sessions can have;
    // else, with n_sessions 0, the most sessions of that context. With both, whether they fit.
    Result<Fit> fit(uint64_t budget_bytes, const SessionOptions& options, int n_sessions) const;
    // An error where the thread is in a pass of this model, or of one that shares its threads.
    Result<void> check_free() const;
    // Writes a file that loads by mapping (formats/packed_file.hpp). The model need not be loaded.
    Result<void> pack(const ByteSink& sink, const Progress& progress) const;
    // Tells models apart: a sum over the metadata, the tensors' directory and samples of their bytes.
    uint64_t fingerprint() const noexcept;

    const Gguf& file() const noexcept { return *file_; }
    const ModelSpec& spec() const noexcept { return spec_; }
    const graph::Program& program() const noexcept { return program_; }
    const cpu::Executor& executor() const noexcept { return *executor_; }
    const KernelTable& kernels() const noexcept { return *kernels_; }
    ThreadPool& pool() const noexcept { return *pool_; }
    const Log& log() const noexcept { return log_; }
    // Of a loaded model.
    Engine& engine() const noexcept { return *engine_; }
    const Tokenizer& tokenizer() const noexcept { return *tokenizer_; }
    // The model whose guesses answers try, or null.
    const std::shared_ptr<const Model>& draft() const noexcept { return draft_; }
    // A template that is not there or cannot be parsed is an error when it is asked for, not when the model opens.
    const ModelTemplates& templates() const noexcept { return *templates_; }
    std::vector<CacheLayerSpec> cache_layers() const { return builder_->cache_layers(); }
    std::vector<size_t> state_layers() const { return builder_->state_layers(); }
    // Defaults filled in, and max_batch at most n_ctx. An error for sizes below 0, and for a context beyond the
    // positions that the model has learned.
    Result<SessionOptions> effective(const SessionOptions& options) const;
    // Positions that a text can have whatever its cache holds; 0: any.
    int max_positions() const noexcept { return builder_->max_positions(); }

  private:
    Model() = default;
    EngineModel engine_model() const;
    void tell_opened() const;

    Log log_;
    std::unique_ptr<Gguf> file_;
    ModelSpec spec_;
    const KernelTable* kernels_ = nullptr;
    std::shared_ptr<ThreadPool> pool_;
    std::unique_ptr<Weights> weights_;
    std::optional<ModelBuilder> builder_;
    graph::Program program_;
    std::optional<cpu::Executor> executor_;
    std::shared_ptr<const Tokenizer> tokenizer_;
    std::optional<ModelTemplates> templates_;
    EngineOptions engine_options_;
    SessionOptions session_;  // what the plan assumes
    std::shared_ptr<const Model> draft_;
    std::unique_ptr<Engine> engine_;
};

// Of options whose defaults are filled in.
SequenceOptions sequence_options(const SessionOptions& options) noexcept;

}  // namespace elver
