// The commands for scripts and tests: logits, tokenize, detokenize, template, info, plan.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>
#include <stdexcept>

#include "commands.hpp"
#include "npy.hpp"
#include "progress.hpp"

namespace elver::cli {

namespace {

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

constexpr const char* spaces = " \t\r\n";
std::string_view trimmed(std::string_view text) {
    const size_t begin = text.find_first_not_of(spaces);
    return begin == text.npos ? std::string_view() : text.substr(begin, text.find_last_not_of(spaces) - begin + 1);
}

}  // namespace

std::string dump(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

elver_model_options model_options(const Options& o) {
    elver_model_options m = ELVER_MODEL_OPTIONS_INIT;
    m.n_threads = o.threads;
    if (o.verbose) m.log = [](int32_t, const char* line, size_t, void*) { std::fprintf(stderr, "elver: %s\n", line); };
    return m;
}

elver_session_options session_options(const Options& o) {
    elver_session_options s = ELVER_SESSION_OPTIONS_INIT;
    s.n_ctx = o.context;
    s.max_batch = o.batch;
    s.cache_type = o.cache_type;
    s.context_policy = o.slide ? ELVER_CONTEXT_SLIDE : ELVER_CONTEXT_STOP;
    s.n_keep = o.keep;
    return s;
}

std::string read_file(const std::string& path) {
    std::ostringstream out;
    if (path == "-") {
        out << std::cin.rdbuf();
        return out.str();
    }
    if (std::filesystem::is_directory(path)) throw std::runtime_error(path + ": is a directory");
    std::ifstream in(path, std::ios::binary);
    if (!in) throw std::runtime_error(path + ": cannot open");
    out << in.rdbuf();
    if (in.bad()) throw std::runtime_error(path + ": cannot read");
    return out.str();
}

std::optional<std::vector<int32_t>> ids_of(const Options& o) {
    if (!o.tokens && o.tokens_file.empty()) return std::nullopt;
    const std::string where = o.tokens ? "--tokens" : o.tokens_file;
    const std::string text = o.tokens ? *o.tokens : read_file(o.tokens_file);
    std::string_view list = trimmed(text);
    if (list.starts_with('[') && list.ends_with(']'))
        list = trimmed(list.substr(1, list.size() - 2));  // as tokenize prints
    std::vector<int32_t> ids;
    const char* separators = list.find(',') == list.npos ? spaces : ",";
    for (bool more = !list.empty(); more;) {
        const size_t end = list.find_first_of(separators);
        const std::string_view part = trimmed(list.substr(0, end));
        int32_t id = 0;
        const auto [stop, failed] = std::from_chars(part.data(), part.data() + part.size(), id);
        if (failed != std::errc() || stop != part.data() + part.size())
            throw std::runtime_error(where + ": expected ids like 1,2,3, found \"" + std::string(part) + "\"");
        ids.push_back(id);
        more = end != list.npos;
        if (more) list = separators == spaces ? trimmed(list.substr(end)) : list.substr(end + 1);
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
    const std::vector<int32_t> ids = *ids_of(o);
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
    std::optional<std::vector<int32_t>> given = ids_of(o);
    const std::string text = o.text_file.empty() ? o.text : read_file(o.text_file);
    const Model model = load_model(o);
    if (!given) {
        const Ids of_text = model.tokenizer().encode(text);
        given.emplace(of_text.view().begin(), of_text.view().end());
    }
    const std::vector<int32_t>& ids = *given;
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
    const uint32_t flags = ELVER_TEXT_ADD_SPECIAL | (o.special ? uint32_t{ELVER_TEXT_PARSE_SPECIAL} : 0U);
    if (!o.text_file.empty()) {
        const Ids ids = tokenizer.encode(read_file(o.text_file), flags);
        if (o.json) return std::printf("%s\n", dump({{"ids", ids.view()}}).c_str()), 0;
        for (const int32_t id : ids)
            std::printf("%d\t%s\n", id, dump(tokenizer.decode({&id, 1}, ELVER_TEXT_SHOW_SPECIAL).view()).c_str());
        return 0;
    }
    each_line(o.jsonl, [&](const std::string& line, size_t number) {
        const Json text = parse_line(line, o.jsonl, number);
        if (!text.is_string())
            throw std::runtime_error(o.jsonl + ": line " + std::to_string(number) + ": expected a JSON string");
        std::printf("%s\n", dump(tokenizer.encode(text.get_ref<const std::string&>(), flags).view()).c_str());
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
        std::printf("%s\n",
                    dump(tokenizer.decode(ids, o.special ? uint32_t{ELVER_TEXT_SHOW_SPECIAL} : 0U).view()).c_str());
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
    if (o.show_sampling) {
        const SamplingDefaults defaults = sampling_defaults(model);
        Json out{{"source", defaults.source}};
        out.update(defaults.values);
        std::printf("%s\n", dump(out).c_str());
        return 0;
    }
    const auto what = o.tensors         ? ELVER_DESCRIBE_TENSORS
                      : o.spec          ? ELVER_DESCRIBE_SPEC
                      : o.program       ? ELVER_DESCRIBE_PROGRAM
                      : o.show_template ? ELVER_DESCRIBE_TEMPLATE
                                        : ELVER_DESCRIBE_METADATA;
    std::printf("%s\n", model.describe(what).c_str());
    return 0;
}

namespace {

// What a budget has room for.
int run_fit(const Options& o, const Model& model) {
    const elver_fit f = model.fit(*o.budget, session_options(o), o.n_sessions);
    if (o.json) {
        std::printf(
            "%s\n",
            dump({{"context", f.n_ctx}, {"sessions", f.n_sessions}, {"total", f.total}, {"least", f.least}}).c_str());
    } else if (f.n_sessions == 0) {
        std::printf("nothing: at least %llu bytes are needed\n", static_cast<unsigned long long>(f.least));
    } else {
        std::printf("a context of %d positions, %d session%s: %llu bytes\n", f.n_ctx, f.n_sessions,
                    f.n_sessions == 1 ? "" : "s", static_cast<unsigned long long>(f.total));
    }
    return 0;
}

}  // namespace

int run_plan(const Options& o) {
    const Model model = Model::open(o.model, model_options(o));
    if (o.budget) return run_fit(o, model);
    const elver_plan p = model.plan(session_options(o));
    if (o.json) {
        std::printf("%s\n", dump({{"weights", p.weights},
                                  {"token_weights", p.token_weights},
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

}  // namespace elver::cli
