// Many answers driven by one thread: each the same as alone, prompts read in pieces, and errors that are their own.
#include <algorithm>
#include <atomic>
#include <list>
#include <thread>

#include "answer/generate.hpp"
#include "engine/models.hpp"

using namespace elver;
using namespace elver::test;

namespace {

GenerateOptions sampled(int n_tokens, uint64_t seed) {
    GenerateOptions o;
    o.sampler.temperature = 1;
    o.sampler.seed = seed;
    o.max_tokens = n_tokens;
    o.ignore_end = true;
    return o;
}

std::vector<int32_t> prompt_of(const Model& model, size_t n, int number) {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < n; ++i)
        ids.push_back(static_cast<int32_t>((31 * i * i + 17 * static_cast<size_t>(number) + i) %
                                           static_cast<size_t>(model.spec().n_vocab)));
    return ids;
}

// A session with an answer that has begun.
struct Writing {
    std::unique_ptr<Session> session;
    std::optional<Session::Request> request;
    std::optional<Generator> answer;
    std::vector<int32_t> ids;
    int n_reading = 0;  // events before the first token
    bool ended = false;

    Writing(const std::shared_ptr<Model>& model, std::span<const int32_t> prompt, GenerateOptions options,
            bool deferred, int priority = 0)
        : session(open_session(model, {.n_ctx = 512, .max_batch = 64, .priority = priority})) {
        request.emplace(*session);
        if (!deferred) {
            REQUIRE(session->prefill(prompt));
        }
        auto made = deferred ? Generator::defer(*session, prompt, options) : Generator::make(*session, options);
        REQUIRE_MESSAGE(made, message_of(made));
        answer.emplace(*std::move(made));
        request->keep();
        request.reset();
    }
    void take(const Result<GenerateEvent>& event) {
        REQUIRE_MESSAGE(event, message_of(event));
        if (event->id >= 0) {
            ids.push_back(event->id);
        } else if (event->finish == FinishReason::none) {
            ++n_reading;
            CHECK(event->counts.unread > 0);
        }
        ended = event->finish != FinishReason::none;
    }
};

std::vector<int32_t> alone(const std::shared_ptr<Model>& model, std::span<const int32_t> prompt, GenerateOptions o) {
    Writing w(model, prompt, std::move(o), false);
    while (!w.ended) w.take(w.answer->next());
    return w.ids;
}

int n_steps_of(const Model& model, std::list<Writing>& all) {
    for (int n = 0;; ++n) {
        std::vector<StepItem> items;
        std::vector<Writing*> of_items;
        for (Writing& w : all) {
            if (!w.ended) items.push_back({&*w.answer}), of_items.push_back(&w);
        }
        if (items.empty()) return n;
        step(model, items);
        for (size_t i = 0; i < items.size(); ++i) of_items[i]->take(items[i].event);
    }
}

}  // namespace

TEST_CASE("step: one thread writes many answers, each with the tokens and logits that it has alone") {
    for (const char* name : {"llama", "gemma3", "mixtral", "rwkv7", "jamba"}) {
        CAPTURE(name);
        const auto model = load(tiny_path(name), 2);
        std::list<Writing> all;
        for (int i = 0; i < 9; ++i)
            all.emplace_back(model, prompt_of(*model, 5 + 11 * static_cast<size_t>(i), i), sampled(12 + i, 7),
                             i % 2 == 1);
        CHECK(n_steps_of(*model, all) >= 20 + 1);  // tokens of the longest, and its end
        const auto fresh = load(tiny_path(name), 1);
        int i = 0;
        for (const Writing& w : all) {
            CAPTURE(i);
            const auto prompt = prompt_of(*model, 5 + 11 * static_cast<size_t>(i), i);
            CHECK(w.ids == alone(fresh, prompt, sampled(12 + i, 7)));
            const auto session = open_session(fresh, {.n_ctx = 512, .max_batch = 64});
            REQUIRE(session->prefill(w.session->ids()));
            CHECK(std::ranges::equal(session->logits(), w.session->logits()));
            ++i;
        }
    }
}

TEST_CASE("step: all that write share one pass, and a long prompt does not hold them up") {
    const auto model = load(tiny_path("llama"), 1);
    std::list<Writing> all;
    for (int i = 0; i < 4; ++i) all.emplace_back(model, prompt_of(*model, 8, i), sampled(40, 1), false);
    all.emplace_back(model, prompt_of(*model, 450, 9), sampled(1, 1), true);
    Writing& reader = all.back();
    uint64_t before = model->engine().n_computed();
    bool first = true;
    while (reader.n_reading < 100 && reader.ids.empty()) {
        std::vector<StepItem> items;
        for (Writing& w : all) items.push_back({&*w.answer});
        step(*model, items);
        const uint64_t now = model->engine().n_computed();
        auto event = items.begin();
        for (Writing& w : all) {
            const size_t had = w.ids.size();
            w.take((event++)->event);
            if (&w != &reader) {
                CHECK(w.ids.size() == had + 1);  // whatever the prompt takes
            }
        }
        // The first tokens stood in the logits; then each pass has a row of each.
        if (!first) {
            CHECK(now - before <= 4 + 64);
        }
        before = now, first = false;
    }
    CHECK(reader.n_reading > 450 / 64);
    CHECK(reader.ids == alone(load(tiny_path("llama"), 1), prompt_of(*model, 450, 9), sampled(1, 1)));
}

TEST_CASE("step: of more answers than a pass may have, those go on that waited longest, and higher priorities first") {
    auto source = ByteSource::map_path(tiny_path("llama"));
    REQUIRE(source);
    ModelOptions options;
    options.n_threads = 1;
    options.pass_sessions = 2;
    auto model = Model::open(*std::move(source), options);
    REQUIRE_MESSAGE(model, message_of(model));
    REQUIRE((*model)->load({}, nullptr));
    std::list<Writing> all;
    for (int i = 0; i < 6; ++i) all.emplace_back(*model, prompt_of(**model, 8, i), sampled(40, 1), false);
    const auto once = [&] {
        std::vector<StepItem> items;
        for (Writing& w : all) items.push_back({&*w.answer});
        const uint64_t before = (*model)->engine().n_computed();
        step(**model, items);
        CHECK((*model)->engine().n_computed() - before <= 2);
        auto event = items.begin();
        for (Writing& w : all) {
            REQUIRE(event->event);
            if (event->event->id >= 0) w.ids.push_back(event->event->id);
            ++event;
        }
    };
    for (int i = 0; i < 1 + 9; ++i) once();
    for (const Writing& w : all) CHECK(w.ids.size() == 1 + 3);
    // Of a higher priority.
    all.emplace_back(*model, prompt_of(**model, 8, 9), sampled(40, 1), false, 1);
    for (int i = 0; i < 1 + 6; ++i) once();
    CHECK(all.back().ids.size() == 1 + 6);
}

TEST_CASE("step: what cannot go on has an error of its own, and the others go on") {
    const auto model = load(tiny_path("llama"), 1), other = load(tiny_path("llama"), 1);
    Writing good(model, prompt_of(*model, 8, 1), sampled(3, 1), false);
    Writing ended(model, prompt_of(*model, 8, 2), sampled(1, 1), false);
    while (!ended.ended) ended.take(ended.answer->next());
    Writing changed(model, prompt_of(*model, 8, 3), sampled(3, 1), false);
    REQUIRE(changed.session->rewind(2));
    Writing stranger(other, prompt_of(*model, 8, 4), sampled(3, 1), false);
    std::vector<StepItem> items = {{&*good.answer},    {nullptr},           {&*ended.answer},
                                   {&*changed.answer}, {&*stranger.answer}, {&*good.answer}};
    std::vector<int32_t> ids;
    for (int round = 0; round < 3; ++round) {
        step(*model, items);
        REQUIRE(items[0].event);
        ids.push_back(items[0].event->id);
        for (size_t i = 1; i < items.size(); ++i) {
            CAPTURE(i);
            REQUIRE(!items[i].event);
            CHECK(items[i].event.error().status() == Status::invalid_argument);
        }
    }
    CHECK(ids == alone(other, prompt_of(*model, 8, 1), sampled(3, 1)));
    step(*model, {});
}

TEST_CASE("step: cancelled answers end, one that is still read at what was computed, and the session goes on") {
    const auto model = load(tiny_path("llama"), 1);
    std::list<Writing> all;
    all.emplace_back(model, prompt_of(*model, 8, 1), sampled(50, 1), false);
    all.emplace_back(model, prompt_of(*model, 300, 2), sampled(50, 1), true);
    all.emplace_back(model, prompt_of(*model, 8, 3), sampled(6, 1), false);
    const auto once = [&] {
        std::vector<StepItem> items;
        for (Writing& w : all) items.push_back({&*w.answer});
        step(*model, items);
        return items;
    };
    for (int i = 0; i < 3; ++i) once();
    Writing &writer = all.front(), &reader = *std::next(all.begin());
    const int n_past = writer.session->n_past();
    writer.session->cancel(), reader.session->cancel();
    const auto items = once();
    CHECK(items[0].event->finish == FinishReason::cancelled);
    CHECK(items[1].event->finish == FinishReason::cancelled);
    REQUIRE(items[2].event);
    CHECK(items[2].event->id >= 0);
    CHECK(writer.session->n_past() == n_past);
    CHECK(reader.session->n_past() > 0);
    CHECK(reader.session->n_past() < 300);
    const auto rest = prompt_of(*model, 300, 2);
    REQUIRE(reader.session->prefill(std::span(rest).subspan(static_cast<size_t>(reader.session->n_past()))));
    const auto fresh = open_session(load(tiny_path("llama"), 1), {.n_ctx = 512});
    REQUIRE(fresh->prefill(rest));
    CHECK(std::ranges::equal(fresh->logits(), reader.session->logits()));
}

TEST_CASE("step: an answer whose prompt a save has computed goes on as it would have") {
    for (const char* name : {"llama", "gemma3", "rwkv7"}) {
        for (const int n_steps : {0, 1}) {
            CAPTURE(name);
            CAPTURE(n_steps);
            const auto model = load(tiny_path(name), 1);
            const auto prompt = prompt_of(*model, 200, 4);
            Writing w(model, prompt, sampled(5, 7), true);
            for (int i = 0; i < n_steps; ++i) {
                std::vector<StepItem> items = {{&*w.answer}};
                step(*model, items);
                w.take(items[0].event);
            }
            CHECK(w.ids.empty());
            REQUIRE(w.session->save([](std::span<const std::byte>) -> Result<void> { return {}; }));
            while (!w.ended) w.take(w.answer->next());
            CHECK(w.ids == alone(load(tiny_path(name), 1), prompt, sampled(5, 7)));
        }
    }
}

TEST_CASE("step: it returns after one pass, also where another thread makes pass after pass") {
    const auto model = load(tiny_path("llama"), 1);
    Writing reader(model, prompt_of(*model, 450, 2), sampled(1, 1), true);
    std::atomic<bool> over{false}, begun{false};
    std::thread other([&] {
        const auto session = open_session(model, {.n_ctx = 4096, .max_batch = 64});
        for (int i = 0; !over; ++i) {
            (void)session->rewind(0);
            (void)session->prefill(prompt_of(*model, 4000, 100 + i), {}, [&](double) { return begun = true; });
        }
    });
    while (!begun) std::this_thread::yield();
    while (reader.ids.empty()) {
        StepItem item{&*reader.answer};
        step(*model, {&item, 1});
        reader.take(item.event);
    }
    over = true;
    other.join();
    CHECK(reader.n_reading >= 450 / 64);
    CHECK(reader.ids == alone(load(tiny_path("llama"), 1), prompt_of(*model, 450, 2), sampled(1, 1)));
}

TEST_CASE("step: threads that pull, and threads that step, share the engine") {
    const auto model = load(tiny_path("gemma3"), 2);
    constexpr int n = 12, n_tokens = 30;
    std::vector<std::vector<int32_t>> found(n);
    const auto prompt = [&](int i) { return prompt_of(*model, 20 + 9 * static_cast<size_t>(i), i); };
    const auto pull = [&](int i) {
        Writing w(model, prompt(i), sampled(n_tokens, 3), i % 2 == 0);
        while (!w.ended) w.take(w.answer->next());
        found[static_cast<size_t>(i)] = w.ids;
    };
    const auto steps = [&](int from) {
        std::list<Writing> all;
        for (int i = from; i < from + 4; ++i) all.emplace_back(model, prompt(i), sampled(n_tokens, 3), i % 2 == 0);
        n_steps_of(*model, all);
        for (Writing& w : all) found[static_cast<size_t>(from++)] = w.ids;
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back(pull, i);
    threads.emplace_back(steps, 4);
    threads.emplace_back(steps, 8);
    for (std::thread& t : threads) t.join();
    const auto fresh = load(tiny_path("gemma3"), 1);
    for (int i = 0; i < n; ++i) CHECK(found[static_cast<size_t>(i)] == alone(fresh, prompt(i), sampled(n_tokens, 3)));
}
