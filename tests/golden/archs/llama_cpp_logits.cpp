// Runs token ids through llama.cpp in one batch and writes, as raw float32, the logits of every position [n_tokens,
// n_vocab] or the last hidden states [n_tokens, width]. second_opinion.py compiles and calls it; it is not part of
// elver's build. usage: llama_cpp_logits MODEL OUTPUT N_THREADS CACHE(f32|f16) WHAT(logits|hidden) ID...

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "llama.h"

namespace {

void quiet(ggml_log_level level, const char* text, void*) {
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

llama_context* make_context(llama_model* model, uint32_t n_tokens, int n_threads, bool full_cache, bool hidden) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = n_tokens;
    params.n_outputs_max = params.n_outputs_max_per_seq = n_tokens;
    params.n_threads = params.n_threads_batch = n_threads;
    params.type_k = params.type_v = full_cache ? GGML_TYPE_F32 : GGML_TYPE_F16;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.swa_full = true;
    params.embeddings = hidden;
    if (hidden) params.pooling_type = LLAMA_POOLING_TYPE_NONE;
    return llama_init_from_model(model, params);
}

bool decode(llama_context* context, const std::vector<llama_token>& ids) {
    llama_batch batch = llama_batch_init(static_cast<int32_t>(ids.size()), 0, 1);
    for (size_t i = 0; i < ids.size(); ++i) {
        batch.token[i] = ids[i];
        batch.pos[i] = static_cast<llama_pos>(i);
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    batch.n_tokens = static_cast<int32_t>(ids.size());
    const bool done = llama_decode(context, batch) == 0;
    llama_batch_free(batch);
    return done;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 7) {
        fprintf(stderr, "usage: %s MODEL OUTPUT N_THREADS CACHE WHAT ID...\n", argv[0]);
        return 2;
    }
    const bool hidden = std::string(argv[5]) == "hidden";
    std::vector<llama_token> ids;
    for (int i = 6; i < argc; ++i) ids.push_back(atoi(argv[i]));
    const auto n_tokens = static_cast<uint32_t>(ids.size());

    llama_log_set(quiet, nullptr);
    llama_backend_init();
    llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = 0;
    llama_model* model = llama_model_load_from_file(argv[1], model_params);
    if (!model) return 1;
    llama_context* context = make_context(model, n_tokens, atoi(argv[3]), std::string(argv[4]) == "f32", hidden);
    if (!context || !decode(context, ids)) return 1;

    const int width = hidden ? llama_model_n_embd(model) : llama_vocab_n_tokens(llama_model_get_vocab(model));
    FILE* out = fopen(argv[2], "wb");
    if (!out) return 1;
    for (int32_t i = 0; i < static_cast<int32_t>(n_tokens); ++i) {
        const float* row = hidden ? llama_get_embeddings_ith(context, i) : llama_get_logits_ith(context, i);
        if (!row || fwrite(row, sizeof(float), width, out) != static_cast<size_t>(width)) return 1;
    }
    return fclose(out) == 0 ? 0 : 1;
}
