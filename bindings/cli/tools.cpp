// The commands for scripts and tests: logits, tokenize, detokenize, template, info, plan, bench.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>

#include "commands.hpp"
#include "npy.hpp"
#include "progress.hpp"

namespace elver::cli {

namespace {

elver_model_options model_options(const Options& o) {
    elver_model_options m = ELVER_MODEL_OPTIONS_INIT;
    m.n_threads = o.threads;
    return m;
}

Json parse_line(const std::string& line, const std::string& file, size_t number) {
    Json json = Json::parse(line, nullptr, false);
    if (json.is_discarded()) throw std::runtime_error(file + ": line " + std::to_string(number) + ": not valid JSON");
    return json;
}

// Calls body(json, line number) for each line of a file.
template <class Body>
void each_line(const std::string& path, const Body& body) {
    std::istringstream in(read_file(path));
    std::string line;
    for (size_t number = 1; std::getline(in, line); ++number) body(line, number);
}

double median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v.size() % 2 == 1 ? v[v.size() / 2] : (v[v.size() / 2 - 1] + v[v.size() / 2]) / 2;
}

}  // namespace

std::string dump(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

elver_session_options session_options(const Options& o) {
    elver_session_options s = ELVER_SESSION_OPTIONS_INIT;
    s.n_ctx = o.context;
    s.max_batch = o.batch;
    s.cache_type = o.cache_type;
    return s;
}

std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw std::runtime_error(path + ": cannot open");
    std::ostringstream out;
    out << in.rdbuf();
    if (in.bad()) throw std::runtime_error(path + ": cannot read");
    return out.str();
}

std::vector<int32_t> parse_ids(const std::string& text) {
    std::vector<int32_t> ids;
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, ',');) {
        size_t used = 0;
        long value = -1;
        try {
            value = std::stol(part, &used);
        } catch (const std::exception&) {
        }
        if (used != part.size() || part.empty() || value < INT32_MIN || value > INT32_MAX)
            throw std::runtime_error("--tokens: expected ids like 1,2,3, found \"" + part + "\"");
        ids.push_back(static_cast<int32_t>(value));
    }
    return ids;
}

Model load_model(const Options& o) {
    elver_model_options m = model_options(o);
    Model model = o.synthetic.empty() ? Model::open(o.model, m) : open_synthetic(o, m);
    model.load(Meter("loading"));
    return model;
}

int run_logits(const Options& o) {
    const std::vector<int32_t> ids = parse_ids(o.tokens);
    const Model model = load_model(o);
    elver_session_options s = session_options(o);
    if (s.n_ctx == 0) s.n_ctx = std::max<int32_t>(static_cast<int32_t>(ids.size()), 1);
    s.go_on = no_signal;
    Session session(model, s);
    until_signal([&] {
        NpyWriter out(o.output, {ids.size(), static_cast<size_t>(model.n_vocab())});
        session.prefill(ids, [&out](size_t, std::span<const float> logits) { out.write(logits); });
        out.finish();
    });
    return 0;
}

int run_embed(const Options& o) {
    const Model model = load_model(o);
    std::vector<int32_t> ids = parse_ids(o.tokens);
    if (o.tokens.empty()) {
        const Ids of_text = model.tokenizer().encode(o.text, true, false);
        ids.assign(of_text.view().begin(), of_text.view().end());
    }
    elver_session_options s = session_options(o);
    if (s.n_ctx == 0) s.n_ctx = std::max<int32_t>(static_cast<int32_t>(ids.size()), 1);
    Session session(model, s);
    const std::vector<float> embedding = session.embed(ids, static_cast<elver_pooling>(o.pooling));
    NpyWriter out(o.output, {embedding.size()});
    out.write(embedding);
    out.finish();
    return 0;
}

int run_tokenize(const Options& o) {
    const Tokenizer tokenizer = Tokenizer::open(o.model);
    if (!o.text_file.empty()) {
        const Ids ids = tokenizer.encode(read_file(o.text_file), true, o.special);
        if (o.json) return std::printf("%s\n", dump({{"ids", ids.view()}}).c_str()), 0;
        for (const int32_t id : ids) std::printf("%d\t%s\n", id, dump(tokenizer.decode({&id, 1}, true).view()).c_str());
        return 0;
    }
    each_line(o.jsonl, [&](const std::string& line, size_t number) {
        const Json text = parse_line(line, o.jsonl, number);
        if (!text.is_string())
            throw std::runtime_error(o.jsonl + ": line " + std::to_string(number) + ": expected a JSON string");
        std::printf("%s\n", dump(tokenizer.encode(text.get_ref<const std::string&>(), true, o.special).view()).c_str());
    });
    return 0;
}

int run_detokenize(const Options& o) {
    const Tokenizer tokenizer = Tokenizer::open(o.model);
    each_line(o.jsonl, [&](const std::string& line, size_t number) {
        const Json list = parse_line(line, o.jsonl, number);
        const auto wrong = [&](const Json& found) {
            return std::runtime_error(o.jsonl + ": line " + std::to_string(number) +
                                      ": expected a list of token ids, found " + dump(found));
        };
        if (!list.is_array()) throw wrong(list);
        std::vector<int32_t> ids;
        for (const Json& id : list) {
            // Unsigned numbers above int64's range would wrap to small ones.
            const bool fits = id.is_number_integer() && (!id.is_number_unsigned() || id.get<uint64_t>() <= INT32_MAX) &&
                              id.get<int64_t>() >= INT32_MIN && id.get<int64_t>() <= INT32_MAX;
            if (!fits) throw wrong(id);
            ids.push_back(id.get<int32_t>());
        }
        std::printf("%s\n", dump(tokenizer.decode(ids, o.special).view()).c_str());
    });
    return 0;
}

int run_template(const Options& o) {
    std::optional<Tokenizer> tokenizer;  // its file may hold no tensors
    std::string source;
    if (o.model.empty())
        source = read_file(o.template_file);
    else
        tokenizer = Tokenizer::open(o.model);
    each_line(o.jsonl, [&](const std::string& line, size_t) {
        Json out;
        try {
            out["text"] = (tokenizer ? tokenizer->render(line) : render_template(source, line)).view();
        } catch (const Error& e) {
            out["error"] = e.what();
        }
        std::printf("%s\n", dump(out).c_str());
    });
    return 0;
}

int run_info(const Options& o) {
    const Model model = Model::open(o.model, model_options(o));
    const auto what = o.tensors         ? ELVER_DESCRIBE_TENSORS
                      : o.spec          ? ELVER_DESCRIBE_SPEC
                      : o.program       ? ELVER_DESCRIBE_PROGRAM
                      : o.show_template ? ELVER_DESCRIBE_TEMPLATE
                                        : ELVER_DESCRIBE_METADATA;
    std::printf("%s\n", model.describe(what).c_str());
    return 0;
}

int run_plan(const Options& o) {
    const Model model = Model::open(o.model, model_options(o));
    const elver_plan p = model.plan(session_options(o));
    if (o.json) {
        std::printf("%s\n", dump({{"weights", p.weights},
                                  {"kv_cache", p.kv_cache},
                                  {"scratch", p.scratch},
                                  {"total", p.total},
                                  {"context", p.n_ctx},
                                  {"batch", p.max_batch}})
                                .c_str());
        return 0;
    }
    const auto row = [](const char* name, uint64_t bytes) {
        std::printf("%-9s %14llu bytes  %8.1f MiB\n", name, static_cast<unsigned long long>(bytes),
                    static_cast<double>(bytes) / (1 << 20));
    };
    row("weights", p.weights), row("kv cache", p.kv_cache), row("scratch", p.scratch), row("total", p.total);
    std::printf("for a context of %d positions, prefill passes of %d tokens\n", p.n_ctx, p.max_batch);
    return 0;
}

int run_bench(const Options& o) {
    const Model model = load_model(o);
    elver_session_options s = session_options(o);
    s.n_ctx = std::max(s.n_ctx, o.prompt_tokens + o.generate_tokens);
    Session session(model, s);
    // Another text each round: what was computed once is not computed again.
    std::vector<int32_t> ids(static_cast<size_t>(o.prompt_tokens));
    using Clock = std::chrono::steady_clock;
    const uint64_t weights = model.plan().weights;
    std::vector<double> prefill, decode, shares, dots, reads;
    const auto measure = [&] {
        const elver_machine m = model.measure();
        dots.push_back(m.dot_ops_per_s), reads.push_back(m.read_bytes_per_s);
    };
    // The machine is measured around each round: what its memory gives may change from second to second.
    for (int round = 0; round <= o.repeat; ++round) {  // the first warms up
        session.rewind(0);
        for (size_t i = 0; i < ids.size(); ++i)
            ids[i] = static_cast<int32_t>((7919 * static_cast<int64_t>(i) + 104729 * round + 1) % model.n_vocab());
        const auto start = Clock::now();
        session.prefill(ids);
        const auto read = Clock::now();
        for (int i = 0; i < o.generate_tokens; ++i) session.prefill({&ids[static_cast<size_t>(i) % ids.size()], 1});
        const auto end = Clock::now();
        measure();
        if (round == 0) continue;
        prefill.push_back(o.prompt_tokens / std::chrono::duration<double>(read - start).count());
        decode.push_back(o.generate_tokens / std::chrono::duration<double>(end - read).count());
        shares.push_back(decode.back() * static_cast<double>(weights) /
                         std::max((reads[reads.size() - 2] + reads.back()) / 2, 1.0));
    }
    const Json out{{"prefill", {{"tokens", o.prompt_tokens}, {"tokens_per_s", median(prefill)}}},
                   {"decode",
                    {{"tokens", o.generate_tokens},
                     {"tokens_per_s", median(decode)},
                     {"read_share", reads.front() > 0 ? Json(median(shares)) : Json()}}},
                   {"machine", {{"dot_tops", median(dots) / 1e12}, {"read_gb_per_s", median(reads) / 1e9}}},
                   {"weights_bytes", weights}};
    if (o.json) return std::printf("%s\n", dump(out).c_str()), 0;
    std::printf(
        "prefill  %5d tokens  %9.1f tokens/s\ndecode   %5d tokens  %9.1f tokens/s, %.0f %% of read bandwidth\nmachine  "
        "%.2f TOPS of byte dots, %.1f GB/s read\n",
        o.prompt_tokens, median(prefill), o.generate_tokens, median(decode), 100 * median(shares), median(dots) / 1e12,
        median(reads) / 1e9);
    return 0;
}

}  // namespace elver::cli
