// elver_model_fit beside every plan there is: not a byte is wasted, and none is missing.
#include <string>
#include <vector>

#include "handles.hpp"

using namespace capi_test;

namespace {

elver_fit fit(const elver_model* model, uint64_t budget, const elver_session_options& options, int32_t n_sessions) {
    elver_fit out = ELVER_FIT_INIT;
    const Failure f =
        failure([&](elver_error** e) { return elver_model_fit(model, budget, &options, n_sessions, &out, e); });
    REQUIRE_MESSAGE(f.status == ELVER_OK, f.message);
    return out;
}

}  // namespace

TEST_CASE("fit: the largest context is the last whose plan fits, to the byte") {
    for (const char* name :
         {"archs/llama", "archs/mistral", "archs/mamba", "archs/gpt2", "encoders/bert", "archs/falcon-h1"}) {
        CAPTURE(name);
        const auto model = open(path_source(ELVER_TEST_DATA "/golden/" + std::string(name) + ".gguf"));
        const int n_train = elver_model_n_ctx_train(model.get());
        for (const int max_batch : {0, 5}) {
            CAPTURE(max_batch);
            elver_session_options options = ELVER_SESSION_OPTIONS_INIT;
            options.max_batch = max_batch;
            const auto total = [&](int n_ctx) {
                elver_session_options of = options;
                of.n_ctx = n_ctx;
                elver_plan plan = ELVER_PLAN_INIT;
                REQUIRE(elver_model_plan(model.get(), &of, &plan, nullptr) == ELVER_OK);
                return plan.total;
            };
            std::vector<uint64_t> totals;
            for (int n = 1; n <= n_train; ++n) totals.push_back(total(n));
            const auto expected = [&](uint64_t budget) {
                int most = 0;
                for (int n = 1; n <= n_train; ++n) most = totals[static_cast<size_t>(n) - 1] <= budget ? n : most;
                return most;
            };
            for (const int n : {1, 2, 3, 17, n_train / 2, n_train - 1, n_train}) {
                for (const uint64_t budget :
                     {totals[static_cast<size_t>(n) - 1] - 1, totals[static_cast<size_t>(n) - 1]}) {
                    CAPTURE(budget);
                    const elver_fit found = fit(model.get(), budget, options, 0);
                    const int most = expected(budget);
                    CHECK(found.n_ctx == most);
                    CHECK(found.n_sessions == (most > 0 ? 1 : 0));
                    CHECK(found.total == totals[most > 0 ? static_cast<size_t>(most) - 1 : 0]);
                    CHECK(found.least == totals[0]);
                }
            }
            CHECK(fit(model.get(), UINT64_MAX, options, 0).n_ctx == n_train);
        }
    }
}

TEST_CASE("fit: each further session takes the same, and the most is one more than does not fit") {
    const auto model = open(path_source(tiny_path()));
    elver_session_options options = ELVER_SESSION_OPTIONS_INIT;
    options.n_ctx = 40;
    elver_plan plan = ELVER_PLAN_INIT;
    REQUIRE(elver_model_plan(model.get(), &options, &plan, nullptr) == ELVER_OK);
    const uint64_t each = plan.kv_cache + 61 * sizeof(float);  // its pages, and the logits after its last token
    for (const int n : {1, 2, 7, 100000}) {
        CAPTURE(n);
        const uint64_t total = plan.total + static_cast<uint64_t>(n - 1) * each;
        CHECK(fit(model.get(), total, options, 0).n_sessions == n);
        CHECK(fit(model.get(), total, options, 0).total == total);
        CHECK(fit(model.get(), total, options, 0).n_ctx == 40);
        CHECK(fit(model.get(), total - 1, options, 0).n_sessions == n - 1);
        CHECK(fit(model.get(), total, options, n).total == total);
        const elver_fit no = fit(model.get(), total - 1, options, n);
        CHECK(no.n_sessions == 0);
        CHECK(no.n_ctx == 0);
        CHECK(no.least == total);
    }
    options.n_ctx = 0;
    const elver_fit eight = fit(model.get(), 3 * plan.total, options, 8);
    CHECK(eight.n_sessions == 8);
    CHECK(eight.total <= 3 * plan.total);
    options.n_ctx = eight.n_ctx;
    CHECK(fit(model.get(), eight.total, options, 0).n_sessions == 8);
    options.n_ctx = 0;
    options.context_policy = ELVER_CONTEXT_SLIDE;
    options.n_keep = 20;
    CHECK(fit(model.get(), UINT64_MAX, options, 1).n_ctx == 64);
    options.n_ctx = 22;
    REQUIRE(elver_model_plan(model.get(), &options, &plan, nullptr) == ELVER_OK);
    options.n_ctx = 0;
    CHECK(fit(model.get(), 0, options, 1).least == plan.total);  // two positions behind those that are kept
    options.n_keep = INT32_MAX;
    elver_fit none = ELVER_FIT_INIT;
    CHECK(elver_model_fit(model.get(), UINT64_MAX, &options, 1, &none, nullptr) == ELVER_INVALID_ARGUMENT);
    options.n_keep = 20;
    options.n_ctx = 65;  // beyond what it was trained for, which its rope allows
    CHECK(fit(model.get(), UINT64_MAX, options, 1).n_ctx == 65);
    // More bytes than a number holds are more than any budget.
    options.n_ctx = INT32_MAX;
    CHECK(fit(model.get(), UINT64_MAX - 1, options, INT32_MAX).n_sessions == 0);
}
