// A small command over libllama, so that oracle scripts can ask llama.cpp for ids, logits and greedy text. llama_cpp.py
// compiles and runs it against the peer's build; it is no part of elver. API: llama.h of the peer.
#include <llama.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

namespace {

[[noreturn]] void fail(const std::string& what) {
    std::cerr << "llama_cpp_run: " << what << '\n';
    std::exit(1);
}

std::vector<llama_token> read_ids(std::istream& in) {
    return {std::istream_iterator<llama_token>(in), std::istream_iterator<llama_token>()};
}

std::string read_all(std::istream& in) {
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

llama_context* make_context(llama_model* model, size_t n_ctx) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<uint32_t>(n_ctx);
    params.n_batch = static_cast<uint32_t>(n_ctx);
    params.n_threads = params.n_threads_batch = 2;
    llama_context* context = llama_init_from_model(model, params);
    if (!context) fail("cannot make a context");
    return context;
}

// Decodes ids; logits of all of them, or of the last only, are then with the context.
void decode(llama_context* context, const std::vector<llama_token>& ids, int first_pos, bool all) {
    llama_batch batch = llama_batch_init(static_cast<int32_t>(ids.size()), 0, 1);
    batch.n_tokens = static_cast<int32_t>(ids.size());
    for (size_t i = 0; i < ids.size(); ++i) {
        batch.token[i] = ids[i];
        batch.pos[i] = first_pos + static_cast<int>(i);
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = all || i + 1 == ids.size();
    }
    if (llama_decode(context, batch) != 0) fail("llama_decode failed");
    llama_batch_free(batch);
}

void tokenize(const llama_vocab* vocab) {
    const std::string text = read_all(std::cin);
    std::vector<llama_token> ids(text.size() + 8);
    const int n = llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), ids.data(),
                                 static_cast<int32_t>(ids.size()), true, false);
    if (n < 0) fail("llama_tokenize failed");
    for (int i = 0; i < n; ++i) std::cout << ids[i] << '\n';
}

void detokenize(const llama_vocab* vocab) {
    for (const llama_token id : read_ids(std::cin)) {
        char piece[512];
        const int n = llama_token_to_piece(vocab, id, piece, sizeof piece, 0, true);
        if (n < 0) fail("llama_token_to_piece failed");
        std::cout.write(piece, n);
    }
}

void logits(llama_model* model, int n_vocab, const char* out_path) {
    const std::vector<llama_token> ids = read_ids(std::cin);
    llama_context* context = make_context(model, ids.size());
    decode(context, ids, 0, true);
    std::ofstream out(out_path, std::ios::binary);
    for (size_t i = 0; i < ids.size(); ++i)
        out.write(reinterpret_cast<const char*>(llama_get_logits_ith(context, static_cast<int32_t>(i))),
                  static_cast<std::streamsize>(sizeof(float)) * n_vocab);
    if (!out.flush()) fail(std::string("cannot write ") + out_path);
    llama_free(context);
}

// One line of n ids for each line of prompt ids.
void greedy(llama_model* model, int n_vocab, int n) {
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream prompt_line(line);
        std::vector<llama_token> ids = read_ids(prompt_line);
        llama_context* context = make_context(model, ids.size() + n);
        for (int i = 0, pos = 0; i < n; ++i) {
            decode(context, ids, pos, false);
            pos += static_cast<int>(ids.size());
            const float* row = llama_get_logits_ith(context, -1);
            llama_token best = 0;
            for (int id = 1; id < n_vocab; ++id)
                if (row[id] > row[best]) best = id;
            std::cout << best << (i + 1 < n ? ' ' : '\n');
            ids = {best};
        }
        llama_free(context);
    }
}

}  // namespace

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    if (argc < 3)
        fail("usage: llama_cpp_run tokenize|detokenize|logits OUT|greedy N, after it MODEL; ids or text on stdin");
    llama_log_set(
        [](ggml_log_level level, const char* text, void*) {
            if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
        },
        nullptr);
    llama_backend_init();
    llama_model_params params = llama_model_default_params();
    params.vocab_only = what == "tokenize" || what == "detokenize";
    llama_model* model = llama_model_load_from_file(argv[argc - 1], params);
    if (!model) fail(std::string("cannot load ") + argv[argc - 1]);
    const llama_vocab* vocab = llama_model_get_vocab(model);
    const int n_vocab = llama_vocab_n_tokens(vocab);
    if (what == "tokenize")
        tokenize(vocab);
    else if (what == "detokenize")
        detokenize(vocab);
    else if (what == "logits" && argc == 4)
        logits(model, n_vocab, argv[2]);
    else if (what == "greedy" && argc == 4)
        greedy(model, n_vocab, std::atoi(argv[2]));
    else
        fail("unknown command " + what);
    llama_model_free(model);
    return 0;
}
