// The elver program. Results go to standard output; an error is one line on standard error and exit code 1, or 2 for
// usage.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
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

std::string shown(double x) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", x);
    return text;
}

// A number from `least` to `greatest`, written with a point wherever the user is.
CLI::Validator number(double least, double greatest) {
    const auto check = [least, greatest](const std::string& text) {
        char* end = nullptr;
        const double x = std::strtod(text.c_str(), &end);
        if (!text.empty() && *end == '\0' && x >= least && x <= greatest) return std::string();
        return "expected " + shown(least) + " to " + shown(greatest) + ", found \"" + text + "\"";
    };
    return CLI::Validator(check, "", "");
}

CLI::Validator whole(int64_t least, uint64_t greatest) {
    const auto check = [least, greatest](const std::string& text) {
        const bool negative = text.starts_with('-');
        uint64_t x = 0;
        const char *begin = text.data() + (negative ? 1 : 0), *end = text.data() + text.size();
        const auto [stop, failed] = std::from_chars(begin, end, x);
        const bool read = failed == std::errc() && stop == end;
        if (read && (negative ? least < 0 && x <= static_cast<uint64_t>(-least)
                              : x <= greatest && (least <= 0 || x >= static_cast<uint64_t>(least))))
            return std::string();
        return "expected a whole number from " + std::to_string(least) + " to " + std::to_string(greatest) +
               ", found \"" + text + "\"";
    };
    return CLI::Validator(check, "", "");
}

// What is wrong with the command line, in one line.
std::string usage_error(const CLI::App& app, const CLI::ParseError& e, int argc, char** argv) {
    const auto subs = app.get_subcommands();
    if (subs.empty() && argc > 1 && argv[1][0] != '-')
        return "unknown command \"" + std::string(argv[1]) + "\"; see elver --help";
    if (subs.empty())
        return (argc > 1 ? "unknown option \"" + std::string(argv[1]) + "\"" : "no command") + "; see elver --help";
    const std::string command = subs.front()->get_name(), see = "; see elver " + command + " --help";
    if (dynamic_cast<const CLI::ExtrasError*>(&e) != nullptr) {
        const std::vector<std::string> extras = app.remaining(true);
        const bool dashes = !extras.empty() && extras.front() == "--";
        const std::string first = dashes && extras.size() > 1 ? extras[1] : extras.empty() ? "" : extras[0];
        if (dashes) return "unexpected argument \"" + first + "\" after --: options go before it" + see;
        if (first.starts_with("-")) return "unknown option \"" + first + "\"" + see;
        return "unexpected argument \"" + first + "\"" +
               (command == "chat" ? "; a question of several words needs quotes around it" : see);
    }
    std::string message = e.what();
    std::replace(message.begin(), message.end(), '\n', ' ');
    if (const size_t at = message.find(": At Most 1 required"); at != std::string::npos)
        message.replace(at, std::string::npos, ": given more than once");
    if (const size_t at = message.find(": 1 required "); at != std::string::npos)
        message.replace(at, std::string::npos, ": expected a value, found none");
    return message + see;
}

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
        sub->add_option("--threads", o.threads, "threads; 0: the physical cores (default)")->check(whole(0, 1024));
        sub->add_flag("--verbose", o.verbose, "say on standard error what is chosen and noticed");
    };
    const auto session = [&](CLI::App* sub) {
        threads(sub);
        sub->add_option("--context", o.context, "positions of the context; 0: the model's, at most 4096 (default)")
            ->check(whole(0, 1 << 24));
        sub->add_option("--batch", o.batch, "tokens of a prefill pass; 0: 512 (default)")->check(whole(0, 65536));
        sub->add_flag("--slide", o.slide,
                      "when the context is full drop the older half of the text, in place of ending");
        sub->add_option("--keep", o.keep, "with --slide: tokens at the beginning that stay")->check(whole(0, 1 << 24));
        sub->add_option("--cache-type", o.cache_type, "what keys and values are kept as: f32, f16, q8_0 or q4_0")
            ->transform(CLI::CheckedTransformer(cache_types));
    };
    const auto sampling = [&](CLI::App* sub) {
        sub->add_option("--max-tokens", o.max_tokens, "longest answer, in tokens; -1: no limit (default)")
            ->check(whole(-1, INT32_MAX));
        for (const SamplingNumber& n : sampling_numbers) {
            sub->add_option_function<double>(
                   n.option, [&o, &n](double x) { o.sampling[n.field] = x; }, n.what)
                ->check(number(n.least, n.greatest));
        }
        sub->add_option_function<int>(
               "--top-k", [&o](int k) { o.sampling["top_k"] = std::max(k, 0); },
               "the K likeliest tokens; 0: all of them")
            ->check(whole(-1, INT32_MAX));
        sub->add_option_function<std::string>(
               "--seed",
               [&o](const std::string& seed) {
                   if (seed != "-1") o.sampling["seed"] = std::stoull(seed);
               },
               "the same seed gives the same answer; -1: another each time (default)")
            ->check(whole(-1, UINT64_MAX));
        sub->add_option_function<std::vector<std::string>>(
               "--stop", [&o](const std::vector<std::string>& texts) { o.sampling["stop"] = texts; },
               "a text that ends the answer; may be given more than once")
            ->allow_extra_args(false);
    };
    // A file, or "-": standard input.
    const auto tokens = [&](CLI::App* sub) {
        sub->add_option_function<std::string>(
            "--tokens", [&o](const std::string& ids) { o.tokens = ids; }, "token ids, as 1,2,3");
        sub->add_option("--tokens-file", o.tokens_file, "file with token ids; -: standard input");
    };

    auto* chat = command("chat", "Ask a question, or talk", run_chat);
    chat->add_option_function<std::string>(
        "question", [&o](const std::string& question) { o.question = question; },
        "a single question; none: a conversation");
    chat->add_option("--system", o.system, "system message");
    chat->add_flag("--json", o.json, "print each answer as JSON");
    session(chat), sampling(chat);

    auto* complete = command("complete", "Continue a text", run_complete);
    auto* prompt = complete->add_option_group("prompt");
    prompt->add_option("--prompt", o.prompt, "text");
    prompt->add_option("--prompt-file", o.prompt_file, "file with the text; -: standard input");
    tokens(prompt);
    prompt->require_option(1);
    complete->add_flag("--special", o.special, "control tokens spelled in the text become tokens");
    complete->add_flag("--ignore-eos", o.ignore_eos, "go on past the end of the text");
    complete->add_flag("--json", o.json, "print JSON");
    session(complete), sampling(complete);

    auto* logits = command("logits", "Write the logits of every token", run_logits);
    auto* rows = logits->add_option_group("input");
    tokens(rows);
    rows->require_option(1);
    logits->add_option("--output", o.output, "NumPy file, float32 [n_tokens, n_vocab]")->required();
    session(logits);

    auto* embed = command("embed", "Write a text's embedding", run_embed);
    auto* embedded = embed->add_option_group("input");
    embedded->add_option("--text", o.text, "text");
    embedded->add_option("--text-file", o.text_file, "file with the text; -: standard input");
    tokens(embedded);
    embedded->require_option(1);
    embed->add_option("--output", o.output, "NumPy file, float32 [width], of unit length")->required();
    embed
        ->add_option("--pooling", o.pooling, "of the tokens' hidden states: mean, first or last (default: the model's)")
        ->transform(CLI::CheckedTransformer(poolings));
    session(embed);

    auto* tokenize = command("tokenize", "Text to token ids", run_tokenize);
    auto* text = tokenize->add_option_group("input");
    text->add_option("--text-file", o.text_file, "file with the text; -: standard input");
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
    info->add_flag("--sampling", o.show_sampling, "how its tokens are chosen by default, and who says so");

    auto* plan = command("plan", "Memory it will take, to the byte", run_plan);
    plan->add_flag("--json", o.json, "print JSON");
    plan->add_option("--budget", o.budget,
                     "bytes, as 4g: what there is room for, the largest context or, with --context, "
                     "the most sessions")
        ->transform(CLI::AsSizeValue(false));
    plan->add_option("--sessions", o.n_sessions, "with --budget: how many sessions there are to be")
        ->check(whole(1, INT32_MAX));
    session(plan);

    const auto layers = [&](CLI::App* sub) {
        sub->add_option("--layers", o.layers, "layers of the synthetic model (default: as many as fit in memory)")
            ->check(whole(1, 4096));
    };
    auto* bench = command("bench", "Measure prefill and decode", run_bench, false);
    auto* measured = bench->add_option_group("measured");
    measured->add_option("model", o.model, "GGUF file");
    measured->add_option("--synthetic", o.synthetic, "dimensions and format without a file, as llama-1b:q4_0");
    measured->require_option(1);
    layers(bench);
    bench->add_option("--prompt", o.prompt_tokens, "tokens of the prompt")->check(whole(1, 1 << 20));
    bench->add_option("--generate", o.generate_tokens, "tokens to generate")->check(whole(1, 1 << 20));
    bench->add_option("--repeat", o.repeat, "rounds; medians are printed")->check(whole(1, 1000));
    bench->add_option("--sequences", o.sequences, "answers at once, as 1,8,32: also measure so many")
        ->delimiter(',')
        ->check(whole(1, 256));
    bench->add_flag("--speculation", o.speculation, "also measure answers with and without drafted tokens");
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
        std::fprintf(stderr, "elver: %s\n", usage_error(app, e, argc, argv).c_str());
        return 2;
    }
    try {
        return finish(run(o));
    } catch (const std::exception& e) {
        std::fprintf(stderr, "elver: %s\n", e.what());
        return 1;
    }
}
