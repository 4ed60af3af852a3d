// Runs token ids through llama.cpp in one batch and writes the logits of every position as raw float32, [n_tokens,
// n_vocab]. A second opinion for the tiny models beside it, which call it through second_opinion.py; it is not part of
// elver's build. usage: llama_cpp_logits MODEL OUTPUT N_THREADS KV_TYPE(f32|f16) FLASH(0|1) ID...

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "llama.h"

static void quiet(ggml_log_level level, const char* text, void*) {
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

int main(int argc, char** argv) {
    if (argc < 7) {
        fprintf(stderr, "usage: %s MODEL OUTPUT N_THREADS KV_TYPE FLASH ID...\n", argv[0]);
        return 2;
    }
    const int n_threads = atoi(argv[3]);
    std::vector<llama_token> ids;
    for (int i = 6; i < argc; ++i) ids.push_back(atoi(argv[i]));
    const auto n_tokens = static_cast<uint32_t>(ids.size());

    llama_log_set(quiet, nullptr);
    llama_backend_init();
    llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = 0;
    llama_model* model = llama_model_load_from_file(argv[1], model_params);
    if (!model) return 1;

    llama_context_params params = llama_context_default_params();
    params.n_ctx = n_tokens;
    params.n_batch = n_tokens;
    params.n_ubatch = n_tokens;
    params.n_outputs_max = n_tokens;
    params.n_outputs_max_per_seq = n_tokens;
    params.n_threads = params.n_threads_batch = n_threads;
    params.type_k = params.type_v = strcmp(argv[4], "f32") == 0 ? GGML_TYPE_F32 : GGML_TYPE_F16;
    params.flash_attn_type = atoi(argv[5]) ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.swa_full = true;
    llama_context* context = llama_init_from_model(model, params);
    if (!context) return 1;

    llama_batch batch = llama_batch_init(static_cast<int32_t>(n_tokens), 0, 1);
    for (uint32_t i = 0; i < n_tokens; ++i) {
        batch.token[i] = ids[i];
        batch.pos[i] = static_cast<llama_pos>(i);
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    batch.n_tokens = static_cast<int32_t>(n_tokens);
    if (llama_decode(context, batch) != 0) return 1;

    const auto n_vocab = static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
    FILE* out = fopen(argv[2], "wb");
    if (!out) return 1;
    for (uint32_t i = 0; i < n_tokens; ++i) {
        if (fwrite(llama_get_logits_ith(context, static_cast<int32_t>(i)), sizeof(float), n_vocab, out) != n_vocab)
            return 1;
    }
    return fclose(out) == 0 ? 0 : 1;
}
