// What one session notices of the others in its engine: the gap between tokens beside a long prompt, how soon a
// cancelled call returns, and what forks and sessions cost in time and bytes.
//
//     bench_engine MODEL THREADS [scratch] [forks] [cancel] [gap]
//
// Times are in milliseconds; without names it measures all.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "answer/generate.hpp"

using namespace elver;

namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// The value that this share of all is not above.
double quantile(std::vector<double> values, double share) {
    std::sort(values.begin(), values.end());
    const auto at = static_cast<size_t>(share * static_cast<double>(values.size()));
    return values[std::min(at, values.size() - 1)];
}

template <class T>
T must(Result<T> result) {
    if (!result) {
        std::fprintf(stderr, "bench_engine: %s\n", result.error().message().c_str());
        std::exit(1);
    }
    return *std::move(result);
}
void must(const Result<void>& result) {
    if (result) return;
    std::fprintf(stderr, "bench_engine: %s\n", result.error().message().c_str());
    std::exit(1);
}

class Bench {
  public:
    explicit Bench(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

    void gap() {
        const auto writer = open(4096), reader = open(n_prompt);
        Answer answer(*writer, text(32));
        std::vector<double> alone, beside;
        for (int i = 0; i < 150; ++i) alone.push_back(answer.next());
        std::atomic<bool> over{false};
        std::thread thread([&] {
            must(reader->prefill(text(n_prompt)));
            over = true;
        });
        while (!over) beside.push_back(answer.next());
        thread.join();
        const double lone = quantile(alone, 0.5), p99 = quantile(beside, 0.99);
        std::printf("gap between tokens, alone            p50 %8.2f  p99 %8.2f\n", lone, quantile(alone, 0.99));
        std::printf(
            "beside a prompt of %5d tokens       p50 %8.2f  p99 %8.2f  (%zu tokens), p99 over the lone gap %.2f\n",
            n_prompt, quantile(beside, 0.5), p99, beside.size(), p99 / lone);
    }

    void cancel(int n) {
        std::vector<double> reading, writing;
        for (int i = 0; i < n; ++i) {
            const auto session = open(2048);
            Clock::time_point asked;
            std::thread thread([&] {
                std::this_thread::sleep_for(std::chrono::milliseconds(20 + 7 * i % 200));
                asked = Clock::now();
                session->cancel();
            });
            const auto done = session->prefill(text(2000));
            const auto returned = Clock::now();
            thread.join();
            if (!done) reading.push_back(std::chrono::duration<double, std::milli>(returned - asked).count());
        }
        const auto session = open(2048);
        for (int i = 0; i < n; ++i) {
            must(session->rewind(0));
            Answer answer(*session, text(8));
            Clock::time_point asked;
            std::thread thread([&] {
                std::this_thread::sleep_for(std::chrono::milliseconds(60 + 7 * i % 100));
                asked = Clock::now();
                session->cancel();
            });
            while (!answer.ended()) answer.next();
            const auto returned = Clock::now();
            thread.join();
            writing.push_back(std::chrono::duration<double, std::milli>(returned - asked).count());
        }
        if (!reading.empty())
            std::printf("cancel to return, reading            p50 %8.2f  p99 %8.2f  of %zu\n", quantile(reading, 0.5),
                        quantile(reading, 0.99), reading.size());
        std::printf("cancel to return, writing            p50 %8.2f  p99 %8.2f  of %zu\n", quantile(writing, 0.5),
                    quantile(writing, 0.99), writing.size());
    }

    void forks() {
        constexpr int n_prefix = 2000, n_tail = 20, n_forks = 64;
        const auto session = open(4096);
        const auto pages = [&] { return static_cast<double>(model_->engine().held().pages); };
        must(session->prefill(text(n_prefix)));
        const double prefix = pages();
        std::vector<std::unique_ptr<Session>> all;
        for (int i = 0; i < n_forks; ++i) {
            all.push_back(must(session->fork()));
            must(all.back()->prefill(text(n_tail)));
        }
        // A tail begins in the middle of a page, which it has for itself.
        const double page = prefix / ((n_prefix + 63) / 64), tail = (n_prefix % 64 + n_tail + 63) / 64 * page;
        std::printf("64 forks of %d tokens, %d more each    bytes %.0f, of the prefix and the pages of tails %.3f\n",
                    n_prefix, n_tail, pages(), pages() / (prefix + n_forks * tail));
        const auto longer = open(4096);
        must(longer->prefill(text(3000)));
        std::vector<double> times;
        for (int i = 0; i < 50; ++i) {
            const auto start = Clock::now();
            const auto fork = must(longer->fork());
            times.push_back(ms_since(start));
        }
        std::printf("fork of 3000 tokens                  p50 %8.3f  p99 %8.3f\n", quantile(times, 0.5),
                    quantile(times, 0.99));
    }

    void scratch() {
        std::vector<std::unique_ptr<Session>> all;
        all.push_back(open(4096));
        const auto one = model_->engine().held().scratch;
        for (int i = 1; i < 16; ++i) all.push_back(open(4096));
        for (const auto& session : all) must(session->prefill(text(10)));
        std::printf("scratch of 1 session %zu bytes, of 16 %zu\n", one, model_->engine().held().scratch);
    }

  private:
    // An answer that is pulled token by token.
    class Answer {
      public:
        Answer(Session& session, const std::vector<int32_t>& prompt)
            : generator_([&] {
                  Session::Request request(session);
                  must(session.prefill(prompt));
                  GenerateOptions options;
                  options.sampler.temperature = 1;
                  options.ignore_end = true;
                  options.drafting = Drafting::off;
                  auto made = must(Generator::make(session, options));
                  request.keep();
                  return made;
              }()) {}
        bool ended() const { return ended_; }
        double next() {
            const auto start = Clock::now();
            ended_ = must(generator_.next()).finish != FinishReason::none;
            return ms_since(start);
        }

      private:
        Generator generator_;
        bool ended_ = false;
    };

    std::unique_ptr<Session> open(int n_ctx) const {
        SessionOptions options;
        options.n_ctx = n_ctx;
        return must(Session::make(model_, options));
    }
    // Another text each time.
    std::vector<int32_t> text(int n) {
        std::vector<int32_t> ids;
        for (int64_t i = 0; i < n; ++i)
            ids.push_back(static_cast<int32_t>((7919 * i + 104729 * n_texts_ + 1) % model_->spec().n_vocab));
        ++n_texts_;
        return ids;
    }

    static constexpr int n_prompt = 4096;
    const std::shared_ptr<const Model> model_;
    int64_t n_texts_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3)
        return std::fprintf(stderr, "usage: bench_engine MODEL THREADS [scratch] [forks] [cancel] [gap]\n"), 2;
    auto source = must(ByteSource::map_path(argv[1]));
    ModelOptions options;
    options.n_threads = std::atoi(argv[2]);
    const auto model = must(Model::open(std::move(source), options));
    must(model->load({}, nullptr));
    Bench bench(model);
    const auto asked = [&](std::string_view name) {
        return argc == 3 || std::find(argv + 3, argv + argc, name) != argv + argc;
    };
    if (asked("forks")) bench.forks();  // first: nothing is kept yet
    if (asked("scratch")) bench.scratch();
    if (asked("cancel")) bench.cancel(40);
    if (asked("gap")) bench.gap();
    return 0;
}
