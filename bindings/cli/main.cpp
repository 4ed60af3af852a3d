// The elver program. Results go to standard output; an error is one line on standard error and exit code 1, or 2 for
// usage.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>

#include "commands.hpp"

using namespace elver::cli;

namespace {

const std::map<std::string, int> cache_types = {
    {"f32", ELVER_CACHE_F32}, {"f16", ELVER_CACHE_F16}, {"q8_0", ELVER_CACHE_Q8_0}, {"q4_0", ELVER_CACHE_Q4_0}};
const std::map<std::string, int> poolings = {
    {"mean", ELVER_POOLING_MEAN}, {"first", ELVER_POOLING_FIRST}, {"last", ELVER_POOLING_LAST}};

// An option that is a field of the request.
struct SamplingNumber {
    const char *option, *field, *what;
    double least, greatest;
};

constexpr SamplingNumber sampling_numbers[] = {
    {"--temperature", "temperature", "0: always the most likely token", 0, 100},
    {"--top-p", "top_p", "the fewest tokens whose probabilities sum to this", 0, 1},
    {"--min-p", "min_p", "tokens at least this times as likely as the likeliest", 0, 1},
    {"--repetition-penalty", "repetition_penalty", "makes what was said less likely; 1: no change", 0.01, 100},
    {"--presence-penalty", "presence_penalty", "taken from the logit of what was said", -100, 100},
    {"--frequency-penalty", "frequency_penalty", "taken from it for each time it was said", -100, 100},
};
constexpr SamplingNumber sampling_integers[] = {
    {"--top-k", "top_k", "the K likeliest tokens", 1, 1 << 24},
    {"--seed", "seed", "the same seed gives the same answer", 0, 9007199254740991},
};

// The exit code, or that of an error where something that was printed could not be written, as on a full disk.
int finish(int code) {
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
    std::fprintf(stderr, "elver: standard output: cannot write\n");
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"elver runs language models on this machine"};
    app.require_subcommand(1);
    app.set_version_flag("--version", elver_version());
    Options o;
    int (*run)(const Options&) = nullptr;
    const auto command = [&](const char* name, const char* what, int (*function)(const Options&),
                             bool needs_model = true) {
        CLI::App* sub = app.add_subcommand(name, what);
        if (needs_model) sub->add_option("model", o.model, "GGUF file")->required();
        sub->callback([&run, function] { run = function; });
        return sub;
    };
    const auto threads = [&](CLI::App* sub) {
        sub->add_option("--threads", o.threads, "threads (default: physical cores)")->check(CLI::Range(1, 1024));
    };
    const auto session = [&](CLI::App* sub) {
        threads(sub);
        sub->add_option("--context", o.context, "positions of the context")->check(CLI::Range(1, 1 << 24));
        sub->add_option("--batch", o.batch, "tokens of a prefill pass")->check(CLI::Range(1, 65536));
        sub->add_option("--cache-type", o.cache_type, "what keys and values are kept as: f32, f16, q8_0 or q4_0")
            ->transform(CLI::CheckedTransformer(cache_types));
    };
    const auto sampling = [&](CLI::App* sub) {
        sub->add_option("--max-tokens", o.max_tokens, "longest answer, in tokens")->check(CLI::NonNegativeNumber);
        for (const SamplingNumber& n : sampling_numbers) {
            sub->add_option_function<double>(
                   n.option, [&o, &n](double x) { o.sampling[n.field] = x; }, n.what)
                ->check(CLI::Range(n.least, n.greatest));
        }
        for (const SamplingNumber& n : sampling_integers) {
            sub->add_option_function<int64_t>(
                   n.option, [&o, &n](int64_t i) { o.sampling[n.field] = i; }, n.what)
                ->check(CLI::Range(static_cast<int64_t>(n.least), static_cast<int64_t>(n.greatest)));
        }
        sub->add_option_function<std::vector<std::string>>(
            "--stop", [&o](const std::vector<std::string>& texts) { o.sampling["stop"] = texts; },
            "a text that ends the answer; may be given more than once");
    };

    auto* chat = command("chat", "Ask a question, or talk", run_chat);
    chat->add_option("question", o.question, "a single question; none: an interactive chat");
    chat->add_option("--system", o.system, "system message");
    session(chat), sampling(chat);

    auto* complete = command("complete", "Continue a text", run_complete);
    auto* prompt = complete->add_option_group("prompt");
    prompt->add_option("--prompt", o.prompt, "text");
    prompt->add_option("--prompt-file", o.prompt_file, "file with the text");
    prompt->add_option("--tokens", o.tokens, "token ids, comma separated");
    prompt->require_option(1);
    complete->add_flag("--ignore-eos", o.ignore_eos, "go on past the end of the text");
    complete->add_flag("--json", o.json, "print JSON");
    session(complete), sampling(complete);

    auto* logits = command("logits", "Write the logits of every token", run_logits);
    logits->add_option("--tokens", o.tokens, "token ids, comma separated")->required();
    logits->add_option("--output", o.output, "NumPy file, float32 [n_tokens, n_vocab]")->required();
    session(logits);

    auto* embed = command("embed", "Write a text's embedding", run_embed);
    auto* embedded = embed->add_option_group("input");
    embedded->add_option("--text", o.text, "text");
    embedded->add_option("--tokens", o.tokens, "token ids, comma separated");
    embedded->require_option(1);
    embed->add_option("--output", o.output, "NumPy file, float32 [width], of unit length")->required();
    embed
        ->add_option("--pooling", o.pooling, "of the tokens' hidden states: mean, first or last (default: the model's)")
        ->transform(CLI::CheckedTransformer(poolings));
    session(embed);

    auto* tokenize = command("tokenize", "Text to token ids", run_tokenize);
    auto* text = tokenize->add_option_group("input");
    text->add_option("--text-file", o.text_file, "file with the text");
    text->add_option("--jsonl", o.jsonl, "a JSON string a line; prints an id list a line");
    text->require_option(1);
    tokenize->add_flag("--special", o.special, "control tokens spelled in the text become tokens");
    tokenize->add_flag("--json", o.json, "print {\"ids\": [...]}");

    auto* detokenize = command("detokenize", "Token ids to text", run_detokenize);
    detokenize->add_option("--jsonl", o.jsonl, "an id list a line; prints a JSON string a line")->required();
    detokenize->add_flag("--special", o.special, "show control tokens");

    auto* render = command("template", "Render a chat template", run_template, false);
    auto* source = render->add_option_group("source");
    source->add_option("--model", o.model, "GGUF file");
    source->add_option("--template-file", o.template_file, "file with the template");
    source->require_option(1);
    render->add_option("--jsonl", o.jsonl, "a JSON object of variables a line; prints {\"text\"} or {\"error\"} a line")
        ->required();

    auto* info = command("info", "What a model file holds", run_info);
    info->add_flag("--tensors", o.tensors, "its tensors");
    info->add_flag("--spec", o.spec, "its architecture, as JSON");
    info->add_flag("--program", o.program, "the operations of its forward pass");
    info->add_flag("--template", o.show_template, "its chat template");

    auto* plan = command("plan", "Memory it will take, to the byte", run_plan);
    plan->add_flag("--json", o.json, "print JSON");
    session(plan);

    const auto layers = [&](CLI::App* sub) {
        sub->add_option("--layers", o.layers, "layers of the synthetic model (default: as many as fit in memory)")
            ->check(CLI::Range(1, 4096));
    };
    auto* bench = command("bench", "Measure prefill and decode", run_bench, false);
    auto* measured = bench->add_option_group("measured");
    measured->add_option("model", o.model, "GGUF file");
    measured->add_option("--synthetic", o.synthetic, "dimensions and format without a file, as llama-1b:q4_0");
    measured->require_option(1);
    layers(bench);
    bench->add_option("--prompt", o.prompt_tokens, "tokens of the prompt")->check(CLI::Range(1, 1 << 20));
    bench->add_option("--generate", o.generate_tokens, "tokens to generate")->check(CLI::Range(1, 1 << 20));
    bench->add_option("--repeat", o.repeat, "rounds; medians are printed")->check(CLI::Range(1, 1000));
    bench->add_flag("--json", o.json, "print JSON");
    session(bench);

    auto* quantize = command("quantize", "Write a model in another element type", run_quantize);
    quantize->add_option("output", o.output, "GGUF file to write")->required();
    quantize->add_option("--type", o.type, "F16, Q4_0, Q8_0, Q4_K, IQ4_NL, MXFP4, ...")->required();
    threads(quantize);

    auto* synth = command("synth", "Write a model of known dimensions with random weights", run_synth, false);
    synth->add_option("name", o.synthetic, "NAME:FORMAT, NAME of llama-1b, phi-2, mistral-7b, mixtral-8x7b")
        ->required();
    synth->add_option("output", o.output, "GGUF file to write")->required();
    layers(synth);

    auto* pack = command("pack", "Write a model as this machine's kernels read it: it loads by mapping", run_pack);
    pack->add_option("output", o.output, "file to write")->required();
    threads(pack);

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        if (e.get_exit_code() == 0) return finish(app.exit(e));  // --help and --version
        std::string message = e.what();
        if (argc > 1 && argv[1][0] != '-' && app.get_subcommands().empty())
            message = "unknown command \"" + std::string(argv[1]) + "\"";
        std::replace(message.begin(), message.end(), '\n', ' ');
        std::fprintf(stderr, "elver: %s; see elver --help\n", message.c_str());
        return 2;
    }
    try {
        return finish(run(o));
    } catch (const std::exception& e) {
        std::fprintf(stderr, "elver: %s\n", e.what());
        return 1;
    }
}
