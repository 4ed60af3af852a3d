// The command bench: prefill and decode beside what the machine can do.
#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <exception>
#include <thread>

#include "bench.hpp"

namespace elver::cli {

double median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v.size() % 2 == 1 ? v[v.size() / 2] : (v[v.size() / 2 - 1] + v[v.size() / 2]) / 2;
}

namespace {

using Clock = std::chrono::steady_clock;

// A request for n_tokens at temperature 1, drawn from all of the vocabulary, each in a pass of its own.
std::string sampled_request(const std::vector<int32_t>& ids, int n_tokens, int seed) {
    return dump({{"ids", ids},
                 {"max_tokens", n_tokens},
                 {"ignore_eos", true},
                 {"speculate", false},
                 {"seed", seed},
                 {"temperature", 1},
                 {"top_k", 0},
                 {"top_p", 1},
                 {"min_p", 0},
                 {"repetition_penalty", 1}});
}

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Tokens a second of an answer to `ids`, as a host pulls it.
double sampled_rate(Session& session, const std::vector<int32_t>& ids, int n_tokens, int round) {
    session.complete(sampled_request(ids, n_tokens, round));
    const auto start = Clock::now();
    while (!session.next().last()) {
    }
    return n_tokens / seconds_since(start);
}

// Another text for each number: what was computed once is not computed again.
std::vector<int32_t> text_of(const Model& model, int n_tokens, int number) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < n_tokens; ++i)
        ids.push_back(static_cast<int32_t>((7919 * i + 104729LL * number + 1) % model.n_vocab()));
    return ids;
}

// Tokens a second of n answers at once, each pulled by a thread of its own from a session of its own.
double rate_of_sequences(const Model& model, const elver_session_options& options, int n, int n_tokens, int round) {
    constexpr int prompt_tokens = 32;
    std::vector<Session> sessions;
    for (int i = 0; i < n; ++i) {
        sessions.emplace_back(model, options);
        const auto ids = text_of(model, prompt_tokens, 1000 + round * n + i);
        sessions.back().complete(sampled_request(ids, n_tokens, i));
    }
    std::vector<std::exception_ptr> failed(static_cast<size_t>(n));
    std::vector<std::thread> threads;
    std::barrier ready(n + 1);
    for (size_t i = 0; i < sessions.size(); ++i) {
        threads.emplace_back([&, i] {
            ready.arrive_and_wait();
            try {
                while (!sessions[i].next().last()) {
                }
            } catch (...) {
                failed[i] = std::current_exception();
            }
        });
    }
    ready.arrive_and_wait();
    const auto start = Clock::now();
    for (std::thread& t : threads) t.join();
    const double rate = static_cast<double>(n) * n_tokens / seconds_since(start);
    for (const std::exception_ptr& f : failed) {
        if (f) std::rethrow_exception(f);
    }
    return rate;
}

// Each beside the limit that reading the weights once a pass, and the rate of prefill, set.
Json bench_sequences(const Model& model, const Options& o, double prefill, const elver_plan& plan, double reads) {
    Json out = Json::array();
    elver_session_options s = session_options(o);
    s.n_ctx = 64 + o.generate_tokens;
    for (const int n : o.sequences) {
        std::vector<double> rates;
        for (int round = 0; round <= o.repeat; ++round) {
            const double rate = rate_of_sequences(model, s, n, o.generate_tokens, round);
            if (round > 0) rates.push_back(rate);
        }
        const auto weights = static_cast<double>(std::min(plan.weights, static_cast<uint64_t>(n) * plan.token_weights));
        const double limit = reads > 0 ? std::min(n * reads / weights, prefill) : 0;
        out.push_back({{"n", n}, {"tokens_per_s", median(rates)}, {"limit", limit > 0 ? Json(limit) : Json()}});
    }
    return out;
}

}  // namespace

int run_bench(const Options& o) {
    const Model model = load_model(o);
    elver_session_options s = session_options(o);
    s.n_ctx = std::max(s.n_ctx, o.prompt_tokens + o.generate_tokens);
    Session session(model, s);
    const elver_plan plan = model.plan();
    std::vector<double> prefill, decode, sampled, shares, dots, reads;
    const auto measure = [&] {
        const elver_machine m = model.measure();
        dots.push_back(m.dot_ops_per_s), reads.push_back(m.read_bytes_per_s);
    };
    // The machine is measured around each round: what its memory gives may change from second to second.
    for (int round = 0; round <= o.repeat; ++round) {  // the first warms up
        session.rewind(0);
        const std::vector<int32_t> ids = text_of(model, o.prompt_tokens, round);
        const auto start = Clock::now();
        session.prefill(ids);
        const auto read = Clock::now();
        for (int i = 0; i < o.generate_tokens; ++i) session.prefill({&ids[static_cast<size_t>(i) % ids.size()], 1});
        const auto end = Clock::now();
        const double rate = sampled_rate(session, ids, o.generate_tokens, round);
        measure();
        if (round == 0) continue;
        prefill.push_back(o.prompt_tokens / std::chrono::duration<double>(read - start).count());
        sampled.push_back(rate);
        decode.push_back(o.generate_tokens / std::chrono::duration<double>(end - read).count());
        shares.push_back(decode.back() * static_cast<double>(plan.token_weights) /
                         std::max((reads[reads.size() - 2] + reads.back()) / 2, 1.0));
    }
    Json out{{"prefill", {{"tokens", o.prompt_tokens}, {"tokens_per_s", median(prefill)}}},
             {"decode",
              {{"tokens", o.generate_tokens},
               {"tokens_per_s", median(decode)},
               {"read_share", reads.front() > 0 ? Json(median(shares)) : Json()}}},
             {"sampled", {{"tokens", o.generate_tokens}, {"temperature", 1}, {"tokens_per_s", median(sampled)}}},
             {"machine", {{"dot_tops", median(dots) / 1e12}, {"read_gb_per_s", median(reads) / 1e9}}},
             {"weights_bytes", plan.weights},
             {"token_weights_bytes", plan.token_weights}};
    if (!o.sequences.empty()) {
        out["sequences"] = bench_sequences(model, o, median(prefill), plan, median(reads));
    }
    if (o.speculation) out["speculation"] = bench_speculation(model, o);
    if (o.json) return std::printf("%s\n", dump(out).c_str()), 0;
    std::printf(
        "prefill  %5d tokens  %9.1f tokens/s\ndecode   %5d tokens  %9.1f tokens/s, %.0f %% of read bandwidth\n"
        "sampled  %5d tokens  %9.1f tokens/s at temperature 1\nmachine  "
        "%.2f TOPS of byte dots, %.1f GB/s read\n",
        o.prompt_tokens, median(prefill), o.generate_tokens, median(decode), 100 * median(shares), o.generate_tokens,
        median(sampled), median(dots) / 1e12, median(reads) / 1e9);
    if (!o.sequences.empty()) {
        for (const Json& row : out["sequences"]) {
            std::printf("%3d at once            %9.1f tokens/s", row["n"].get<int>(),
                        row["tokens_per_s"].get<double>());
            if (row["limit"].is_null())
                std::printf("\n");
            else
                std::printf(", limit %.1f\n", row["limit"].get<double>());
        }
    }
    for (const Json& row : o.speculation ? out["speculation"] : Json::array()) {
        std::printf("%-22s %9.1f tokens/s, %.2f times %.1f without drafted tokens\n",
                    row["task"].get<std::string>().c_str(), row["tokens_per_s"].get<double>(),
                    row["gain"].get<double>(), row["without"].get<double>());
    }
    return 0;
}

}  // namespace elver::cli
