// Speculation: guesses and their chances; an answer is the same, event by event, however much of it was guessed.
#include "answer/speculation.hpp"

#include <cstring>

#include "answer/generate.hpp"
#include "engine/models.hpp"
#include "message_of.hpp"

using namespace elver;
using namespace elver::test;

namespace {

std::vector<int32_t> ids_of(const Model& model, std::string_view text) {
    const auto ids = model.tokenizer().encode(text, {});
    REQUIRE(ids);
    return *ids;
}

struct Told {
    std::vector<GenerateEvent> events;
    std::vector<int> positions;  // of the session, after each
    std::vector<std::vector<float>> logits;
};

Told tell(const std::shared_ptr<Model>& model, std::string_view prompt, GenerateOptions options, Drafting drafting,
          SessionOptions wanted) {
    options.drafting = drafting;
    const auto session = open_session(model, wanted);
    REQUIRE(session->prefill(ids_of(*model, prompt)));
    auto generator = Generator::make(*session, options);
    REQUIRE_MESSAGE(generator, message_of(generator));
    Told told;
    do {
        auto event = generator->next();
        REQUIRE_MESSAGE(event, message_of(event));
        told.events.push_back(*std::move(event));
        told.positions.push_back(session->n_past());
        told.logits.emplace_back(session->logits().begin(), session->logits().end());
    } while (told.events.back().finish == FinishReason::none);
    return told;
}

void check_same(const Told& a, const Told& b) {
    REQUIRE(a.events.size() == b.events.size());
    CHECK(a.positions == b.positions);
    CHECK(a.logits == b.logits);
    for (size_t i = 0; i < a.events.size(); ++i) {
        const GenerateEvent &x = a.events[i], &y = b.events[i];
        CAPTURE(i);
        CHECK(x.text == y.text);
        CHECK(x.id == y.id);
        CHECK(x.finish == y.finish);
        CHECK(std::memcmp(&x.logprob, &y.logprob, sizeof(float)) == 0);
        REQUIRE(x.top.size() == y.top.size());
        for (size_t t = 0; t < x.top.size(); ++t) {
            CHECK(x.top[t].id == y.top[t].id);
            CHECK(std::memcmp(&x.top[t].logprob, &y.top[t].logprob, sizeof(float)) == 0);
        }
        CHECK(x.counts.prompt == y.counts.prompt);
        CHECK(x.counts.generated == y.counts.generated);
    }
}

constexpr std::string_view list =
    "red, green, blue, white, black, yellow\nred, green, blue, white, black, yellow\nred, green, blue,";

}  // namespace

TEST_CASE("speculation: what repeats is guessed, and chances follow how often guesses were right") {
    Speculation s;
    s.read(std::vector<int32_t>{1, 2, 3, 4, 5, 6, 7, 8, 9});
    CHECK(s.guess(15, 0).empty());
    s.follow(3);
    const auto ids = [&](int most, float least) {
        std::vector<int32_t> out;
        for (const DraftToken& token : s.guess(most, least)) out.push_back(token.id);
        return out;
    };
    CHECK(ids(3, 0) == std::vector<int32_t>{4, 5, 6});
    s.follow(4), s.follow(5);
    CHECK(ids(2, 0) == std::vector<int32_t>{6, 7});
    // Behind the end of the text it goes on as if the repetition did.
    CHECK(ids(9, 0) == std::vector<int32_t>{6, 7, 8, 9, 3, 4, 5, 6, 7});
    float last = 1;
    for (const DraftToken& token : s.guess(9, 0)) {
        CHECK(token.chance > 0);
        CHECK(token.chance < last);
        last = token.chance;
    }
    CHECK(ids(9, 1).empty());

    // A text whose repetitions never go on as before, and one whose always do.
    Speculation wrong, right;
    for (int32_t i = 0; i < 200; ++i) wrong.follow(1), wrong.follow(10 + i);
    for (int32_t i = 0; i < 200; ++i) right.follow(i % 20);
    wrong.follow(1);
    REQUIRE(!wrong.guess(1, 0).empty());
    CHECK(wrong.guess(1, 0)[0].chance < 0.02f);
    REQUIRE(right.guess(15, 0).size() == 15);
    CHECK(right.guess(15, 0)[14].chance > 0.5f);

    // What another text ends with is not followed by this one.
    Speculation two;
    two.read(std::vector<int32_t>{1, 2, 3});
    two.read(std::vector<int32_t>{4, 5, 3});
    CHECK(two.guess(3, 0).empty());
    two.follow(2);
    CHECK(two.guess(3, 0).size() == 1);
}

TEST_CASE("speculation: events, positions and logits are the same with and without") {
    const auto model = load(smollm2_path(), 2);
    const SessionOptions wanted{.n_ctx = 160, .max_batch = 32, .cache_type = {}};
    std::vector<std::pair<const char*, GenerateOptions>> all;
    const auto with = [&](const char* name, auto change) {
        GenerateOptions o;
        o.max_tokens = 40;
        o.sampler.seed = 5;
        o.continues = true;
        change(o);
        all.emplace_back(name, o);
    };
    with("greedy", [](GenerateOptions& o) { o.sampler.temperature = 0; });
    with("temperature 1", [](GenerateOptions&) {});
    with("temperature 0.3, log-probabilities", [](GenerateOptions& o) {
        o.sampler.temperature = 0.3;
        o.top_logprobs = 4;
    });
    with("truncations", [](GenerateOptions& o) {
        o.sampler.top_k = 40, o.sampler.top_p = 0.9, o.sampler.min_p = 0.02, o.sampler.typical_p = 0.95;
    });
    with("mirostat", [](GenerateOptions& o) { o.sampler.mirostat = 2, o.sampler.mirostat_tau = 2; });
    with("penalties", [](GenerateOptions& o) {
        o.sampler.temperature = 0.2;
        o.sampler.repetition_penalty = 1.05, o.sampler.frequency_penalty = 0.02, o.sampler.presence_penalty = 0.1;
        o.sampler.dry_multiplier = 0.3;
    });
    with("xtc", [](GenerateOptions& o) { o.sampler.xtc_probability = 0.3, o.sampler.xtc_threshold = 0.05; });
    with("stop", [](GenerateOptions& o) {
        o.sampler.temperature = 0;
        o.stop = {"black, yel"};
    });
    with("the context ends", [](GenerateOptions& o) {
        o.sampler.temperature = 0;
        o.max_tokens = -1;
        o.ignore_end = true;
    });
    with("a wrong prediction", [](GenerateOptions& o) {
        o.sampler.temperature = 0;
        for (int32_t i = 0; i < 300; ++i) o.prediction.push_back(i * 31 % 1000);
    });
    int accepted = 0, rejected = 0;
    for (const auto& [name, options] : all) {
        CAPTURE(name);
        const Told off = tell(model, list, options, Drafting::off, wanted);
        CHECK(off.events.back().counts.drafted == 0);
        for (const Drafting drafting : {Drafting::always, Drafting::measured}) {
            const Told drafted = tell(model, list, options, drafting, wanted);
            check_same(off, drafted);
            const AnswerCounts& counts = drafted.events.back().counts;
            CHECK(counts.accepted <= counts.drafted);
            CHECK(counts.accepted < std::max(counts.generated, 1));
            accepted += counts.accepted, rejected += counts.drafted - counts.accepted;
        }
    }
    CHECK(accepted > 100);
    CHECK(rejected > 100);
}

TEST_CASE("speculation: what is guessed right saves passes") {
    const auto model = load(smollm2_path(), 2);
    const SessionOptions wanted{.n_ctx = 256, .max_batch = 64, .cache_type = {}};
    GenerateOptions o;
    o.sampler.temperature = 0;
    o.max_tokens = 60;
    std::string fox;
    for (int i = 0; i < 6; ++i) fox += "The quick brown fox jumps over the lazy dog. ";
    const Told told = tell(model, fox, o, Drafting::always, wanted);
    const AnswerCounts& counts = told.events.back().counts;
    CHECK(counts.generated > 30);
    CHECK(counts.accepted >= counts.generated * 3 / 4);

    // A prediction helps where the prompt holds nothing of the answer.
    constexpr std::string_view prompt = "The capital of France is";
    const Told plain = tell(model, prompt, o, Drafting::off, wanted);
    for (const GenerateEvent& e : plain.events) {
        if (e.id >= 0) o.prediction.push_back(e.id);
    }
    const Told predicted = tell(model, prompt, o, Drafting::always, wanted);
    check_same(plain, predicted);
    CHECK(predicted.events.back().counts.accepted >= predicted.events.back().counts.generated * 2 / 3);
}

TEST_CASE("speculation: a session that is left ahead of its text goes on as any other") {
    const auto model = load(smollm2_path(), 2);
    const SessionOptions wanted{.n_ctx = 256, .max_batch = 64, .cache_type = {}};
    const auto prompt = ids_of(*model, list);
    GenerateOptions o;
    o.sampler.temperature = 0;
    o.drafting = Drafting::always;
    const auto session = open_session(model, wanted);
    REQUIRE(session->prefill(prompt));
    auto generator = Generator::make(*session, o);
    REQUIRE(generator);
    std::vector<int32_t> ids = prompt;
    for (int i = 0; i < 6; ++i) {
        const auto event = generator->next();
        REQUIRE(event);
        ids.push_back(event->id);
    }
    ids.pop_back();  // chosen, not yet part of the text
    const auto fresh = [&](std::span<const int32_t> text) {
        const auto other = open_session(model, wanted);
        REQUIRE(other->prefill(text));
        return std::vector<float>(other->logits().begin(), other->logits().end());
    };
    const auto logits = [](const Session& s) { return std::vector<float>(s.logits().begin(), s.logits().end()); };
    CHECK(std::equal(ids.begin(), ids.end(), session->ids().begin(), session->ids().end()));
    CHECK(logits(*session) == fresh(ids));
    const auto forked = session->fork();
    REQUIRE(forked);
    CHECK((*forked)->n_past() == session->n_past());
    CHECK(logits(**forked) == fresh(ids));
    const int32_t other = 7;
    ids.push_back(other);
    REQUIRE(session->prefill(std::span(&other, 1)));
    REQUIRE((*forked)->prefill(std::span(&other, 1)));
    CHECK(logits(*session) == fresh(ids));
    CHECK(logits(**forked) == fresh(ids));
    CHECK(!generator->goes_on());
}

TEST_CASE("speculation: a draft model guesses where the text repeats nothing") {
    const auto open = [](const std::string& path, std::shared_ptr<const Model> draft) {
        auto source = ByteSource::map_path(path);
        REQUIRE(source);
        ModelOptions options;
        options.n_threads = 1;
        options.draft = std::move(draft);
        return Model::open(*std::move(source), options);
    };
    const auto loaded = [&](const std::string& path, std::shared_ptr<const Model> draft) {
        auto model = open(path, std::move(draft));
        REQUIRE_MESSAGE(model, message_of(model));
        REQUIRE((*model)->load({}, nullptr));
        return *model;
    };
    const SessionOptions wanted{.n_ctx = 128, .max_batch = 32, .cache_type = {}};
    constexpr std::string_view prompt = "The capital of France is";
    const auto draft = loaded(smollm2_path(), nullptr);
    // The model itself guesses all of a greedy answer right, and some of a sampled one.
    const auto model = loaded(smollm2_path(), draft);
    GenerateOptions o;
    o.max_tokens = 30;
    o.sampler.seed = 3;
    for (const double temperature : {0.0, 1.0}) {
        CAPTURE(temperature);
        o.sampler.temperature = temperature;
        const Told plain = tell(draft, prompt, o, Drafting::off, wanted);
        const Told always = tell(model, prompt, o, Drafting::always, wanted);
        check_same(plain, always);
        check_same(plain, tell(model, prompt, o, Drafting::measured, wanted));
        const AnswerCounts& counts = always.events.back().counts;
        CHECK(counts.accepted >= (temperature == 0 ? counts.generated * 2 / 3 : 1));
        CHECK(counts.accepted <= counts.drafted);
    }
    // The context of the draft may end before, and a full context slides.
    o.sampler.temperature = 0;
    o.ignore_end = true;
    o.max_tokens = 60;
    const SessionOptions slides{.n_ctx = 24, .max_batch = 32, .cache_type = {}, .context_policy = ContextPolicy::slide};
    check_same(tell(draft, prompt, o, Drafting::off, slides), tell(model, prompt, o, Drafting::always, slides));

    const auto other = loaded(tiny_path("llama"), nullptr);
    const auto refused = open(smollm2_path(), other);
    REQUIRE(!refused);
    CHECK(refused.error().status() == Status::mismatch);
    CHECK(refused.error().object() == "draft");
    const auto early = open(smollm2_path(), nullptr);
    REQUIRE(early);
    CHECK(open(smollm2_path(), *early).error().status() == Status::invalid_argument);
}
