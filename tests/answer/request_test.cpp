// Requests over the settings of a model's file, and answers of a tiny model whose tokens the tests choose.
#include "answer/request.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "answer/sampling_defaults.hpp"
#include "tiny.hpp"

using namespace elver;
using namespace elver::test;

namespace {

GenerateOptions options_of(const Model& model, const std::string& keys) {
    const auto request = parse_completion_request(model, cat(R"({"ids": [4])", keys.empty() ? "" : ", ", keys, "}"));
    REQUIRE_MESSAGE(request, message_of(request));
    return request->options;
}

std::string refusal(const Model& model, const std::string& keys) {
    return message_of(parse_completion_request(model, cat(R"({"ids": [4], )", keys, "}")));
}

struct Answer {
    std::string text;
    FinishReason finish = FinishReason::none;
    int n_tokens = 0;
};

// The answer to a request that ends after its max_tokens at the latest.
Answer answer(const TinyModel& tiny, const std::string& request) {
    auto parsed = parse_completion_request(*tiny.model, request);
    REQUIRE_MESSAGE(parsed, message_of(parsed));
    auto session = Session::make(tiny.model, {.n_ctx = 32, .max_batch = 16, .cache_type = {}});
    REQUIRE(session);
    REQUIRE(prefill_reusing(**session, parsed->ids));
    auto generator = Generator::make(**session, parsed->options);
    REQUIRE_MESSAGE(generator, message_of(generator));
    Answer out;
    while (out.finish == FinishReason::none) {
        const auto event = generator->next();
        REQUIRE_MESSAGE(event, message_of(event));
        out.text += event->text;
        out.n_tokens += event->id >= 0;
        out.finish = event->finish;
    }
    return out;
}

}  // namespace

TEST_CASE("requests: null asks for nothing, whatever the key") {
    const TinyModel tiny = tiny_model();
    for (const char* key : {"temperature",
                            "top_p",
                            "top_k",
                            "min_p",
                            "seed",
                            "stop",
                            "max_tokens",
                            "max_completion_tokens",
                            "logit_bias",
                            "presence_penalty",
                            "frequency_penalty",
                            "repetition_penalty",
                            "logprobs",
                            "top_logprobs",
                            "n",
                            "best_of",
                            "user",
                            "model",
                            "stream",
                            "stream_options",
                            "response_format",
                            "tool_choice",
                            "parallel_tool_calls",
                            "functions",
                            "function_call",
                            "modalities",
                            "audio",
                            "prediction",
                            "web_search_options",
                            "verbosity",
                            "store",
                            "metadata",
                            "service_tier",
                            "safety_identifier",
                            "prompt_cache_key",
                            "prompt_cache_retention",
                            "prompt_cache_options",
                            "moderation",
                            "echo",
                            "suffix",
                            "ignore_eos",
                            "samplers",
                            "mirostat",
                            "typical_p",
                            "top_n_sigma",
                            "xtc_probability",
                            "dry_multiplier",
                            "dry_sequence_breakers",
                            "dynatemp_range",
                            "penalty_window"}) {
        CAPTURE(key);
        CHECK(refusal(*tiny.model, cat("\"", key, "\": null")) == "");
    }
}

TEST_CASE("requests: what clients send is read as they mean it") {
    const TinyModel tiny = tiny_model();
    const Model& model = *tiny.model;
    CHECK(options_of(model, R"("max_tokens": -1)").max_tokens == -1);
    CHECK(options_of(model, R"("max_tokens": 5.0)").max_tokens == 5);
    CHECK(options_of(model, R"("max_completion_tokens": 3)").max_tokens == 3);
    CHECK(!options_of(model, "").sampler.seed);
    CHECK(!options_of(model, R"("seed": -1)").sampler.seed);
    CHECK(options_of(model, R"("seed": 18446744073709551615)").sampler.seed == UINT64_MAX);
    CHECK(options_of(model, R"("seed": -9223372036854775808)").sampler.seed == uint64_t{1} << 63);
    CHECK(options_of(model, R"("seed": 1.0)").sampler.seed == 1);
    CHECK(options_of(model, R"("top_k": -1)").sampler.top_k == 0);
    CHECK(options_of(model, R"("top_k": 40.0)").sampler.top_k == 40);
    CHECK(options_of(model, R"("repetition_penalty": 0.01)").sampler.repetition_penalty == 0.01);
    CHECK(options_of(model, R"("penalty_window": 0)").sampler.penalty_window == 0);
    CHECK(options_of(model, "").drafting == Drafting::measured);
    CHECK(options_of(model, R"("speculate": true)").drafting == Drafting::measured);
    CHECK(options_of(model, R"("speculate": false)").drafting == Drafting::off);
    const auto predicted = options_of(model, R"("prediction": {"type": "content", "content": "a b"})").prediction;
    CHECK(!predicted.empty());
    CHECK(options_of(model, R"("prediction": {"type": "content", "content": [{"type": "text", "text": "a "},
                               {"type": "text", "text": "b"}]})")
              .prediction == predicted);
    for (const char* wrong : {R"("prediction": "a")", R"("prediction": {"type": "content"})", R"("speculate": 1)",
                              R"("prediction": {"type": "content", "content": [{"type": "image"}]})"})
        CHECK(refusal(model, wrong) != "");
    const auto biased = options_of(model, R"("logit_bias": {"5": -100, "6": false})").sampler.logit_bias;
    REQUIRE(biased.size() == 2);
    CHECK(biased[0] == std::pair<int32_t, float>(5, -100.0f));
    CHECK(biased[1].second == -std::numeric_limits<float>::infinity());
    const auto steps = options_of(model, R"("samplers": ["min_p", "temperature"])").sampler.steps;
    CHECK(steps == std::vector<SamplerStep>{SamplerStep::min_p, SamplerStep::temperature});
    for (const char* keys :
         {R"("stream_options": {"include_usage": true})", R"("tool_choice": "auto")", R"("tool_choice": "none")",
          R"("parallel_tool_calls": true)", R"("n": 1)", R"("best_of": 1)", R"("echo": false)", R"("store": false)",
          R"("metadata": {"a": "b"})", R"("service_tier": "auto")", R"("response_format": {"type": "text"})",
          R"("modalities": ["text"])", R"("functions": [])", R"("stop": [])", R"("logit_bias": {})"})
        CHECK(refusal(model, keys) == "");
}

TEST_CASE("requests: logprobs and top_logprobs mean the same in either order") {
    const TinyModel tiny = tiny_model();
    const Model& model = *tiny.model;
    CHECK(options_of(model, "").top_logprobs == -1);
    CHECK(options_of(model, R"("logprobs": true)").top_logprobs == 0);
    CHECK(options_of(model, R"("top_logprobs": 3)").top_logprobs == 3);
    CHECK(options_of(model, R"("logprobs": true, "top_logprobs": 3)").top_logprobs == 3);
    CHECK(options_of(model, R"("top_logprobs": 3, "logprobs": true)").top_logprobs == 3);
    CHECK(options_of(model, R"("logprobs": false, "top_logprobs": 3)").top_logprobs == -1);
    CHECK(options_of(model, R"("top_logprobs": 3, "logprobs": false)").top_logprobs == -1);
    CHECK(options_of(model, R"("logprobs": 5)").top_logprobs == 5);  // the older completions API
    CHECK(options_of(model, R"("logprobs": null, "top_logprobs": null)").top_logprobs == -1);
}

TEST_CASE("requests: what is asked for and not done is refused by its name, with the reason") {
    const TinyModel tiny = tiny_model();
    struct Row {
        const char* keys;
        std::vector<const char*> names;
    };
    const Row rows[] = {
        {R"("n": 2)", {"\"n\"", "one answer", "found 2"}},
        {R"("tool_choice": "required")", {"\"tool_choice\"", "no tool can be forced"}},
        {R"("parallel_tool_calls": false)", {"\"parallel_tool_calls\"", "the model decides"}},
        {R"("response_format": {"type": "json_object"})", {"\"response_format\"", "grammar", "json_object"}},
        {R"("suffix": "x")", {"\"suffix\"", "not filled in"}},
        {R"("store": true)", {"\"store\"", "nothing is stored"}},
        {R"("repeat_penalty": 1.1)", {"unknown key \"repeat_penalty\"", "\"repetition_penalty\""}},
        {R"("n_predict": 4)", {"unknown key \"n_predict\"", "\"max_tokens\""}},
        {R"("logit_bias": {"5": 1e308})", {"\"logit_bias\"", "-100 to 100"}},
        {R"("logit_bias": {"5": 100.5})", {"\"logit_bias\"", "-100 to 100"}},
        {R"("logit_bias": {"5": true})", {"\"logit_bias\""}},
        {R"("samplers": ["top_k", "magic"])", {"\"samplers\"", "typical_p", "magic"}},
        {R"("samplers": ["top_k", "min_p", "top_k"])", {"samplers", "each step once", "top_k"}},
        {R"("top_k": -2)", {"\"top_k\"", "-1 for all"}},
        {R"("max_tokens": -2)", {"\"max_tokens\"", "-1 for no limit"}},
        {R"("mirostat": 1)", {"mirostat", "0 (off) or 2"}},
        {R"("temperature": 1e308)", {"temperature", "0 to 100"}},
        {R"("repetition_penalty": 0.001)", {"repetition_penalty", "0.01 to 100", "found 0.001"}},
    };
    for (const Row& row : rows) {
        const std::string message = refusal(*tiny.model, row.keys);
        for (const char* name : row.names) CHECK_MESSAGE(message.find(name) != std::string::npos, message);
    }
}

TEST_CASE("requests: many keys are read in linear time") {
    // With a look-up that passes over all keys before it this takes minutes.
    const TinyModel tiny = tiny_model();
    std::string many = "{";
    for (int i = 0; i < 200000; ++i) many += cat(i > 0 ? "," : "", "\"k", i, "\": ", i);
    many += ", \"k7\": \"last\"}";
    CHECK(refusal(*tiny.model, "\"metadata\": " + many) == "");
    CHECK(refusal(*tiny.model, many.substr(1, many.size() - 2)).find("unknown key \"k0\"") != std::string::npos);
    const auto chat = ChatTemplate::parse("{{ deep.k7 }} {{ deep.k199999 }} {{ deep | length }}");
    REQUIRE(chat);
    const auto text = render_template(*chat, nullptr, "{\"deep\": " + many + "}");
    REQUIRE_MESSAGE(text, message_of(text));
    CHECK(*text == "last 199999 200000");
}

TEST_CASE("sampling defaults: a file's settings hold where a request says nothing") {
    const TinyModel tiny = tiny_model([](GgufWriter& w) {
        w.set_f32("general.sampling.temp", 0.25f);
        w.set_f32("general.sampling.top_p", 0.5f);
        w.set_f32("general.sampling.min_p", 0.125f);
        w.set_i32("general.sampling.top_k", 20);
        w.set_f32("general.sampling.penalty_repeat", 1.5f);
        w.set_i32("general.sampling.penalty_last_n", 64);
        w.set_f32("general.sampling.xtc_probability", 0.5f);
        w.set_f32("general.sampling.xtc_threshold", 0.25f);
        w.set_i32("general.sampling.mirostat", 2);
        w.set_f32("general.sampling.mirostat_tau", 4.0f);
        w.set_f32("general.sampling.mirostat_eta", 0.25f);
        w.set_string("general.sampling.sequence", "edkypmxt");
    });
    const SamplerSettings s = options_of(*tiny.model, "").sampler;
    CHECK(s.temperature == 0.25);
    CHECK(s.top_p == 0.5);
    CHECK(s.min_p == 0.125);
    CHECK(s.top_k == 20);
    CHECK(s.repetition_penalty == 1.5);
    CHECK(s.penalty_window == 64);
    CHECK(s.xtc_probability == 0.5);
    CHECK(s.xtc_threshold == 0.25);
    CHECK(s.mirostat == 2);
    CHECK(s.mirostat_tau == 4);
    CHECK(s.mirostat_eta == 0.25);
    using enum SamplerStep;
    CHECK(s.steps == std::vector<SamplerStep>{penalties, dry, top_k, typical_p, top_p, min_p, xtc, temperature});
    const SamplerSettings asked =
        options_of(*tiny.model, R"("temperature": 1, "top_k": 0, "mirostat": 0, "top_p": null)").sampler;
    CHECK(asked.temperature == 1);
    CHECK(asked.top_k == 0);
    CHECK(asked.mirostat == 0);
    CHECK(asked.top_p == 0.5);
    const SamplerSettings without = options_of(*tiny_model().model, "").sampler;
    CHECK(without.temperature == 1);
    CHECK(without.top_k == 0);
}

TEST_CASE("sampling defaults: a key of the wrong type or out of range is an error that names file and key") {
    const auto wrong_type = tiny_model([](GgufWriter& w) { w.set_string("general.sampling.temp", "hot"); });
    CHECK(refusal(*wrong_type.model, R"("stop": null)").find("general.sampling.temp") != std::string::npos);
    const auto too_large = tiny_model([](GgufWriter& w) { w.set_f32("general.sampling.top_p", 2.0f); });
    const std::string message = refusal(*too_large.model, R"("stop": null)");
    CHECK(message.find("general.sampling.") != std::string::npos);
    CHECK(message.find("top_p: expected 0 to 1, found 2") != std::string::npos);
    const auto no_step = tiny_model([](GgufWriter& w) { w.set_string("general.sampling.sequence", "kz"); });
    CHECK(refusal(*no_step.model, R"("stop": null)").find("general.sampling.sequence") != std::string::npos);
}

TEST_CASE("answers: the text goes on where the prompt ends, its first space included") {
    const TinyModel tiny = tiny_model();
    const std::string ask = R"("temperature": 0, "max_tokens": 2, "logit_bias": {"4": 100}})";
    CHECK(answer(tiny, R"({"ids": [5], )" + ask).text == " a a");
    CHECK(answer(tiny, R"({"ids": [1], )" + ask).text == "a a");  // behind BOS a text begins
    CHECK(answer(tiny, R"({"ids": [5, 3], )" + ask).text == " a a");
    for (const char* prompt : {"[5]", "[1]", "[1, 5]", "[5, 3]", "[1, 4, 3]"}) {
        CAPTURE(prompt);
        auto ids = nlohmann::json::parse(prompt).get<std::vector<int32_t>>();
        const std::string before = tiny.model->tokenizer().decode(ids);
        const std::string after = answer(tiny, cat(R"({"ids": )", prompt, ", ", ask)).text;
        ids.insert(ids.end(), 2, space_a);
        CHECK(before + after == tiny.model->tokenizer().decode(ids));
    }
}

TEST_CASE("answers: a stop string may spell a control token, which is not shown") {
    const TinyModel tiny = tiny_model();
    const std::string mark_only = R"({"ids": [5], "temperature": 0, "max_tokens": 3, "logit_bias": {"3": 100})";
    const Answer plain = answer(tiny, mark_only + "}");
    CHECK(plain.text == "");
    CHECK(plain.n_tokens == 3);
    CHECK(plain.finish == FinishReason::length);
    const Answer stopped = answer(tiny, mark_only + R"(, "stop": "<|mark|>"})");
    CHECK(stopped.finish == FinishReason::stop);
    CHECK(stopped.n_tokens == 1);
    CHECK(answer(tiny, mark_only + R"(, "stop": "|><|mark"})").n_tokens == 2);
    // The token that ends the answer belongs to the text that is searched.
    const std::string end = R"({"ids": [5], "temperature": 0, "max_tokens": 3, "logit_bias": {"2": 100})";
    CHECK(answer(tiny, end + R"(, "stop": "</s>"})").finish == FinishReason::stop);
    const Answer ignored = answer(tiny, end + R"(, "stop": "</s></s>", "ignore_eos": true})");
    CHECK(ignored.finish == FinishReason::stop);
    CHECK(ignored.n_tokens == 2);
}

TEST_CASE("answers: logits that are not numbers are an error that names the model and the position") {
    const TinyModel broken = tiny_model({}, true);
    auto session = Session::make(broken.model, {.n_ctx = 32, .max_batch = 16, .cache_type = {}});
    REQUIRE(session);
    REQUIRE(prefill_reusing(**session, std::vector<int32_t>{5, 5, 5}));
    for (const double temperature : {0.0, 1.0}) {
        GenerateOptions options;
        options.sampler.temperature = temperature;
        auto generator = Generator::make(**session, options);
        REQUIRE(generator);
        const auto event = generator->next();
        REQUIRE(!event);
        CHECK(event.error().status() == Status::bad_file);
        CHECK(message_of(event).find("position 2") != std::string::npos);
        CHECK(message_of(event).find(broken.model->file().name()) != std::string::npos);
        CHECK(generator->next().error().status() == Status::bad_file);
    }
}

TEST_CASE("answers: the seed in use is told") {
    const TinyModel tiny = tiny_model();
    auto session = Session::make(tiny.model, {.n_ctx = 32, .max_batch = 16, .cache_type = {}});
    REQUIRE(session);
    REQUIRE(prefill_reusing(**session, std::vector<int32_t>{5}));
    GenerateOptions options;
    options.sampler.seed = 77;
    CHECK(Generator::make(**session, options)->seed() == 77);
    options.sampler.seed.reset();
    CHECK(Generator::make(**session, options)->seed() != Generator::make(**session, options)->seed());
}
