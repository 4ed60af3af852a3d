// The program's commands and what they share.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "elver/elver.hpp"

namespace elver::cli {

using Json = nlohmann::ordered_json;

struct Options {
    std::string model, prompt, prompt_file, tokens_file, text, output, text_file, jsonl, template_file, system, type,
        synthetic;
    std::optional<std::string> question, tokens;
    std::vector<int> sequences;
    int cache_type = ELVER_CACHE_DEFAULT, pooling = ELVER_POOLING_DEFAULT;
    std::optional<uint64_t> budget;  // bytes
    int n_sessions = 0;
    int layers = 0, threads = 0, batch = 0, context = 0, max_tokens = -1, repeat = 3, prompt_tokens = 512,
        generate_tokens = 64;
    Json sampling = Json::object();  // fields of a request
    int keep = 0;
    bool slide = false, verbose = false, json = false, special = false, ignore_eos = false, spec = false,
         program = false, tensors = false, show_template = false, show_sampling = false, speculation = false;
};

// A whole file, standard input for "-", or an error naming it.
std::string read_file(const std::string& path);
// On one line; what is no UTF-8 as U+FFFD.
std::string dump(const Json& json);
// Of --tokens or --tokens-file; none where neither is given.
std::optional<std::vector<int32_t>> ids_of(const Options& o);

// How the model's tokens are chosen where the user does not say it.
struct SamplingDefaults {
    Json values;         // fields of a request
    std::string source;  // "file", the page of the model's authors, or "elver"
};
SamplingDefaults sampling_defaults(const Model& model);

elver_model_options model_options(const Options& o);
elver_session_options session_options(const Options& o);
// Opens and loads with a progress line on the terminal.
Model load_model(const Options& o);

int run_chat(const Options& o);
int run_complete(const Options& o);
int run_logits(const Options& o);
int run_embed(const Options& o);
int run_tokenize(const Options& o);
int run_detokenize(const Options& o);
int run_template(const Options& o);
int run_info(const Options& o);
int run_plan(const Options& o);
int run_bench(const Options& o);
int run_quantize(const Options& o);
int run_synth(const Options& o);
int run_pack(const Options& o);
// A model of dimensions alone (o.synthetic), not loaded.
Model open_synthetic(const Options& o, const elver_model_options& options);

}  // namespace elver::cli
