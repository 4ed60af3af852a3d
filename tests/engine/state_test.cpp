// Random scripts over texts of every kind of model: whatever was done before, a text's logits are those of a session
// that was given the same ids once and in order. The environment may set ELVER_STATE_STEPS (how many), ELVER_STATE_SEED
// (which) and ELVER_STATE_SETTING (of which name alone); a failure prints the seed and the shortest script that fails.
#include <doctest/doctest.h>

#include <charconv>
#include <cstdlib>
#include <list>
#include <random>
#include <sstream>

#include "base/text.hpp"
#include "message_of.hpp"
#include "models/tiny_models.hpp"
#include "script.hpp"
#include "session_door.hpp"

using namespace elver;
using namespace elver::test;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t default_steps = 1000;
#else
constexpr uint64_t default_steps = 10'000;
#endif
constexpr size_t steps_of_script = 60;

uint64_t from_environment(const char* name, uint64_t otherwise) {
    const char* text = std::getenv(name);
    if (text == nullptr) return otherwise;
    const std::string_view number(text);
    uint64_t value = 0;
    const auto read = std::from_chars(number.data(), number.data() + number.size(), value);
    if (read.ec != std::errc() || read.ptr != number.data() + number.size()) FAIL(name, ": expected a number");
    return value;
}

// The tiny model, and the length of its windows where it is not the file's own 7 or none.
struct Kind {
    const char* model;
    int window;
};
constexpr Kind kinds[] = {
    {"llama", 0},     {"mixtral", 0},      {"deepseek2", 0}, {"mistral", 7},   {"mistral", 1},       {"mistral", 64},
    {"mistral", 100}, {"phi3-window", 30}, {"gemma3", 7},    {"gemma2", 40},   {"gemma2", 90},       {"gpt-oss", 7},
    {"gpt-oss", 65},  {"llama4", 7},       {"llama4", 64},   {"llama4", 100},  {"smallthinker", 20}, {"cohere2", 33},
    {"mamba", 0},     {"mamba2", 0},       {"rwkv6", 0},     {"rwkv7", 0},     {"jamba", 0},         {"jamba", 20},
    {"lfm2", 0},      {"lfm2", 50},        {"qwen3next", 0}, {"falcon-h1", 0}, {"granitehybrid", 0},
};

// One a kind, without options.
const std::vector<Setting>& settings() {
    static std::list<std::vector<std::byte>> files;
    static std::vector<Setting> all;
    if (!all.empty()) return all;
    for (const Kind& k : kinds) {
        auto file = with_window(tiny_model(k.model), k.window);
        REQUIRE_MESSAGE(file, message_of(file));
        const std::span<const std::byte> bytes = files.emplace_back(*std::move(file));
        const auto open = [bytes](const ModelOptions& options) -> std::shared_ptr<const Model> {
            auto model = Model::open(ByteSource::borrow(bytes), options);
            REQUIRE_MESSAGE(model, message_of(model));
            REQUIRE((*model)->load({}, nullptr));
            return *model;
        };
        all.push_back({k.window > 0 ? cat(k.model, "/", k.window) : k.model, open, {}, {}});
    }
    return all;
}

SessionOptions random_options(std::mt19937_64& random) {
    const auto one_of = [&](auto... values) {
        const int all[] = {values...};
        return all[random() % std::size(all)];
    };
    SessionOptions options;
    options.n_ctx = one_of(30, 64, 129, 200, 300, 450, 600);
    options.max_batch = std::min(options.n_ctx, one_of(1, 2, 3, 7, 16, 33, 64, 100, 600));
    constexpr CacheType types[] = {CacheType::f32, CacheType::f16, CacheType::q8_0, CacheType::q4_0};
    options.cache_type = types[random() % std::size(types)];
    if (random() % 2 == 0) {
        options.context_policy = ContextPolicy::slide;
        options.n_keep = static_cast<int>(random() % static_cast<uint64_t>(options.n_ctx - 2));
    }
    return options;
}

// Half of the models have little room: as much as the pages of one text take, or somewhat more. Some have two threads.
ModelOptions random_model(std::mt19937_64& random, const Setting& setting) {
    ModelOptions options;
    options.n_threads = random() % 8 == 0 ? 2 : 1;
    SessionOptions largest = setting.options;
    ++largest.n_ctx;  // of Door::open_another()
    const auto plan = setting.open({.n_threads = 1})->plan(largest);
    REQUIRE(plan);
    if (random() % 2 == 0) options.page_bytes = plan->kv_cache * (4 + random() % 5) / 4;
    return options;
}

std::unique_ptr<Door> over_sessions(const std::shared_ptr<const Model>& model, const SessionOptions& options) {
    return std::make_unique<SessionDoor>(model, options);
}

// Runs the script of a seed; one that fails is printed in its shortest form.
void run_seed(uint64_t seed, size_t n_steps, Counts& counts) {
    std::mt19937_64 random(seed);
    Setting setting = settings()[random() % settings().size()];
    setting.options = random_options(random);
    setting.model = random_model(random, setting);
    if (const char* only = std::getenv("ELVER_STATE_SETTING"); only != nullptr && setting.name != only) return;
    const auto script = random_script(seed, n_steps);
    const auto failed = run_script(setting, over_sessions, script, counts);
    if (!failed) return;
    const auto shortest = shortest_failing(setting, over_sessions, script);
    std::ostringstream log;
    Counts ignored;
    const auto again = run_script(setting, over_sessions, shortest, ignored, &log);
    FAIL_CHECK("ELVER_STATE_SEED=", seed, ": ", setting.name, ", n_ctx ", setting.options.n_ctx, ", max_batch ",
               setting.options.max_batch, ", cache type ", static_cast<int>(*setting.options.cache_type),
               ", page_bytes ", setting.model.page_bytes, ", threads ", setting.model.n_threads, ": step ",
               failed->step, ": ", failed->what, "\nthe shortest script that fails (",
               again ? again->what : "not again", "):\n", log.str());
}

}  // namespace

TEST_CASE("state: after any script a text is that of a session that was given its ids once and in order") {
    const uint64_t n_steps = from_environment("ELVER_STATE_STEPS", default_steps);
    const uint64_t first = from_environment("ELVER_STATE_SEED", 1);
    const bool one_seed = std::getenv("ELVER_STATE_SEED") != nullptr && std::getenv("ELVER_STATE_STEPS") == nullptr;
    Counts counts;
    for (uint64_t i = 0; i < (one_seed ? 1 : (n_steps + steps_of_script - 1) / steps_of_script); ++i)
        run_seed(first + i, steps_of_script, counts);
    MESSAGE(counts.n_steps, " steps, ", counts.n_compared, " logits compared, rewound inside ", counts.rewound_inside,
            ", cancelled inside ", counts.cancelled_inside, ", slid ", counts.n_slid, ", drafted tokens accepted ",
            counts.n_accepted);
    if (one_seed || n_steps < default_steps) return;
    for (size_t i = 0; i < static_cast<size_t>(Op::count); ++i) {
        CAPTURE(op_name(static_cast<Op>(i)));
        const auto& of = counts.ops[i];
        CHECK(of.done + of.refused > 0);
    }
    for (const Op op : {Op::prefill, Op::together, Op::complete, Op::generate, Op::speculate, Op::slide, Op::embed}) {
        CAPTURE(op_name(op));
        CHECK(counts.ops[static_cast<size_t>(op)].cancelled > 0);
    }
    CHECK(counts.rewound_inside > 0);
    CHECK(counts.cancelled_inside > 0);
    CHECK(counts.n_slid > 0);
    CHECK(counts.n_accepted > 0);
}
