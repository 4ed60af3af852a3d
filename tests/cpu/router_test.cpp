// The router against NumPy (tests/golden/router), and what it does with logits that are no numbers.
#include "cpu/router.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

using namespace elver;

namespace {

RouterScore score_of(const std::string& name) {
    if (name == "softmax") return RouterScore::softmax;
    if (name == "sigmoid") return RouterScore::sigmoid;
    REQUIRE(name == "softmax_chosen");
    return RouterScore::softmax_chosen;
}

struct Routed {
    std::vector<int32_t> ids;
    std::vector<float> weights;
    RouterFault fault;
};

Routed route_rows(const RouterOptions& o, const std::vector<float>& logits, size_t stride,
                  const float* choice_bias = nullptr) {
    Routed out;
    const size_t n_tokens = logits.size() / stride;
    out.ids.resize(n_tokens * static_cast<size_t>(o.top_k));
    out.weights.resize(out.ids.size());
    std::vector<float> scratch(router_scratch(o.n_experts));
    out.fault = route(o, choice_bias, static_cast<int>(n_tokens), logits.data(), stride, out.ids.data(),
                      out.weights.data(), scratch.data());
    return out;
}

}  // namespace

TEST_CASE("router: experts and weights are NumPy's, ties too") {
    std::ifstream in(std::string(ELVER_TEST_DATA) + "/golden/router/router.json");
    const auto cases = nlohmann::json::parse(in);
    CHECK(cases.size() == 19);
    for (const auto& c : cases) {
        CAPTURE(c["about"].get<std::string>());
        const auto& given = c["options"];
        RouterOptions o;
        o.n_experts = given["n_experts"].get<int>();
        o.top_k = given["top_k"].get<int>();
        o.score = score_of(given["score"].get<std::string>());
        o.renormalise = given.value("renormalise", false);
        o.scale = given.value("scale", 1.0f);
        o.n_groups = given.value("n_groups", 1);
        o.n_groups_used = given.value("n_groups_used", 1);
        o.group_best = given.value("group_best", 2);
        std::vector<float> bias;
        if (!c["bias"].is_null()) bias = c["bias"].get<std::vector<float>>();
        REQUIRE(check(o));
        constexpr size_t pad = 3;  // rows may lie apart
        const size_t stride = static_cast<size_t>(o.n_experts) + pad;
        std::vector<float> logits;
        for (const auto& row : c["logits"]) {
            for (const auto& value : row) logits.push_back(value.get<float>());
            logits.insert(logits.end(), pad, std::numeric_limits<float>::quiet_NaN());
        }
        const Routed got = route_rows(o, logits, stride, bias.empty() ? nullptr : bias.data());
        CHECK(got.fault.token == -1);
        size_t at = 0;
        for (size_t t = 0; t < c["ids"].size(); ++t) {
            for (int i = 0; i < o.top_k; ++i, ++at) {
                CHECK(got.ids[at] == c["ids"][t][i].get<int>());
                const double want = c["weights"][t][i].get<double>();
                CHECK(std::fabs(got.weights[at] - want) <= 2e-6 * std::fabs(want) + 1e-30);
            }
        }
    }
}

TEST_CASE("router: NaN and infinities are faults that name token and expert, and leave nothing out of range") {
    constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    for (const RouterScore score : {RouterScore::softmax, RouterScore::sigmoid, RouterScore::softmax_chosen}) {
        for (const float bad : {nan, inf, -inf}) {
            RouterOptions o;
            o.n_experts = 5;
            o.top_k = 2;
            o.score = score;
            std::vector<float> logits = {1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0, 0, 9, 9, 0};
            logits[5 + 3] = bad;
            logits[10] = bad;
            const Routed got = route_rows(o, logits, 5);
            CHECK(got.fault.token == 1);
            CHECK(got.fault.expert == 3);
            CHECK(got.ids == std::vector<int32_t>{4, 3, 0, 1, 0, 1});
            CHECK(got.weights[0] > got.weights[1]);
            for (size_t i = 2; i < 6; ++i) CHECK(got.weights[i] == 0.0f);
        }
        const float biases[] = {0, nan, 0};
        RouterOptions biased;
        biased.n_experts = 3;
        biased.top_k = 1;
        biased.score = score;
        CHECK(route_rows(biased, {1, 2, 3}, 3, biases).fault.expert == 1);
    }
}

TEST_CASE("router: options out of range are errors that name the field") {
    RouterOptions good;
    good.n_experts = 8;
    good.top_k = 4;
    good.n_groups = 4;
    good.n_groups_used = 2;
    REQUIRE(check(good));
    struct Row {
        const char* field;
        void (*spoil)(RouterOptions&);
    };
    const Row rows[] = {
        {"n_experts", [](RouterOptions& o) { o.n_experts = 0; }},
        {"top_k", [](RouterOptions& o) { o.top_k = 0; }},
        {"top_k", [](RouterOptions& o) { o.top_k = 9; }},
        {"top_k", [](RouterOptions& o) { o.n_groups_used = 1; }},
        {"n_groups", [](RouterOptions& o) { o.n_groups = 3; }},
        {"n_groups_used", [](RouterOptions& o) { o.n_groups_used = 5; }},
        {"group_best", [](RouterOptions& o) { o.group_best = 0; }},
        {"scale", [](RouterOptions& o) { o.scale = std::numeric_limits<float>::infinity(); }},
        {"least_sum", [](RouterOptions& o) { o.least_sum = 0; }},
    };
    for (const Row& row : rows) {
        CAPTURE(row.field);
        RouterOptions o = good;
        row.spoil(o);
        const auto checked = check(o);
        REQUIRE(!checked);
        CHECK(checked.error().message().find(std::string("router.") + row.field) != std::string::npos);
    }
}
