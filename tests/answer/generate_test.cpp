// The generate loop: how an answer ends, stop strings over token borders, log-probabilities, cancelling.
#include "answer/generate.hpp"

#include <cmath>

#include "engine/models.hpp"
#include "message_of.hpp"

using namespace elver;
using namespace elver::test;

namespace {

const std::vector<int32_t> prompt = {504, 3575, 282, 4649, 314};  // "The capital of France is"

struct Answer {
    std::string text;
    std::vector<int32_t> ids;
    std::vector<GenerateEvent> events;
    FinishReason finish = FinishReason::none;
};

Answer answer(const std::shared_ptr<Model>& model, GenerateOptions options, int n_ctx = 128) {
    const auto session = open_session(model, {.n_ctx = n_ctx, .max_batch = 32, .cache_type = {}});
    REQUIRE(session->prefill(prompt));
    auto generator = Generator::make(*session, std::move(options));
    REQUIRE_MESSAGE(generator, message_of(generator));
    Answer out;
    while (out.finish == FinishReason::none) {
        auto event = generator->next();
        REQUIRE_MESSAGE(event, message_of(event));
        out.text += event->text;
        if (event->finish == FinishReason::none) out.ids.push_back(event->id);
        out.finish = event->finish;
        out.events.push_back(*std::move(event));
    }
    CHECK(generator->next().error().status() == Status::invalid_argument);
    return out;
}

GenerateOptions greedy(int max_tokens) {
    GenerateOptions o;
    o.sampler.temperature = 0;
    o.max_tokens = max_tokens;
    return o;
}

}  // namespace

TEST_CASE("generate: length, context, stop strings that straddle tokens") {
    const auto model = load(smollm2_path(), 2);
    const Answer plain = answer(model, greedy(12));
    CHECK(plain.finish == FinishReason::length);
    CHECK(plain.ids.size() == 12);
    CHECK(plain.text.substr(0, 7) == " Paris.");

    CHECK(answer(model, greedy(0)).ids.empty());

    GenerateOptions whole = greedy(-1);
    whole.ignore_end = true;
    const Answer full = answer(model, whole, 20);
    CHECK(full.finish == FinishReason::length);
    CHECK(full.ids.size() == 15 + 1);  // the last token needs no position of its own

    // Every piece of the plain answer as a stop string ends the text where the piece begins, wherever tokens end.
    for (size_t begin = 0; begin < plain.text.size(); begin += 3) {
        for (const size_t length : {1, 2, 5, 11}) {
            const std::string stop = plain.text.substr(begin, length);
            CAPTURE(stop);
            GenerateOptions o = greedy(12);
            o.stop = {"no such text", stop};
            const Answer stopped = answer(model, o);
            CHECK(stopped.finish == FinishReason::stop);
            CHECK(stopped.text == plain.text.substr(0, plain.text.find(stop)));
        }
    }
}

TEST_CASE("generate: settings out of range are errors that name the field") {
    const auto model = load(smollm2_path(), 1);
    const auto session = open_session(model, {.n_ctx = 32, .max_batch = 32, .cache_type = {}});
    CHECK(Generator::make(*session, greedy(1)).error().status() == Status::invalid_argument);  // nothing prefilled
    REQUIRE(session->prefill(prompt));
    const auto refused = [&](auto change, const char* field) {
        GenerateOptions o = greedy(1);
        change(o);
        const auto generator = Generator::make(*session, o);
        REQUIRE(!generator);
        CHECK(generator.error().object() == field);
    };
    refused([](GenerateOptions& o) { o.max_tokens = -2; }, "max_tokens");
    refused([](GenerateOptions& o) { o.top_logprobs = 21; }, "top_logprobs");
    refused([](GenerateOptions& o) { o.stop = {""}; }, "stop");
    refused([](GenerateOptions& o) { o.sampler.temperature = -1; }, "temperature");
    refused([](GenerateOptions& o) { o.sampler.top_p = 1.5f; }, "top_p");
    refused([](GenerateOptions& o) { o.sampler.logit_bias = {{1 << 30, 1.0f}}; }, "logit_bias");
}

TEST_CASE("generate: log-probabilities are those of the logits") {
    const auto model = load(smollm2_path(), 2);
    GenerateOptions o = greedy(4);
    o.top_logprobs = 3;
    const Answer with = answer(model, o);
    const auto session = open_session(model, {.n_ctx = 128, .max_batch = 32, .cache_type = {}});
    REQUIRE(session->prefill(prompt));
    for (size_t i = 0; i < with.ids.size(); ++i) {
        const auto logits = session->logits();
        double sum = 0;
        for (const float l : logits) sum += std::exp(double(l));
        const GenerateEvent& event = with.events[i];
        CHECK(event.logprob == doctest::Approx(logits[size_t(event.id)] - std::log(sum)).epsilon(1e-4));
        REQUIRE(event.top.size() == 3);
        CHECK(event.top[0].id == event.id);
        CHECK(event.top[0].logprob >= event.top[1].logprob);
        CHECK(event.top[1].logprob >= event.top[2].logprob);
        REQUIRE(session->prefill(std::span(&with.ids[i], 1)));
    }
}

TEST_CASE("generate: the same seed gives the same text, another seed another") {
    const auto model = load(smollm2_path(), 2);
    GenerateOptions o;
    o.max_tokens = 24;
    o.ignore_end = true;
    o.sampler.temperature = 1.0f;
    o.sampler.seed = 7;
    const Answer a = answer(model, o), b = answer(model, o);
    CHECK(a.ids == b.ids);
    o.sampler.seed = 8;
    CHECK(answer(model, o).ids != a.ids);
}
