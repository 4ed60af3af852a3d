// elver_ops.hpp: views that do not fit are errors that name them, and what C answers comes through. That the operations
// are right is told by tests/scenarios, which runs them through this header.
#include <elver/elver_ops.hpp>
#include <functional>
#include <type_traits>
#include <vector>

#include "handles.hpp"

using capi_test::contains;

static_assert(!std::is_copy_constructible_v<elver::Ops> && std::is_nothrow_move_constructible_v<elver::Ops>);
static_assert(!std::is_copy_constructible_v<elver::Matrix> && !std::is_copy_constructible_v<elver::Cache>);
static_assert(std::is_convertible_v<elver::Rows<float>, elver::Rows<const float>>);
static_assert(!std::is_convertible_v<elver::Rows<const float>, elver::Rows<float>>);

TEST_CASE("elver_ops.hpp: views that do not fit are errors") {
    auto ops = elver::Ops::open(1);
    std::vector<float> x(4096), y(4096);
    const std::span<const std::byte> rows = std::as_bytes(std::span(x)).first(4 * 32 * sizeof(float));
    const elver::Matrix w = ops.pack(ELVER_DTYPE_F32, rows, 4, 32);
    CHECK(w.rows() == 4);
    CHECK(w.columns() == 32);
    CHECK(w.n_bytes() >= rows.size());
    elver_attention_options layer = ELVER_ATTENTION_OPTIONS_INIT;
    layer.n_heads = 4;
    layer.n_kv_heads = 2;
    layer.head_dim = 8;
    layer.v_head_dim = 4;
    auto cache = ops.cache(layer, 16, 8, ELVER_CACHE_F32);
    elver_router_options router = ELVER_ROUTER_OPTIONS_INIT;
    router.n_experts = 8;
    router.top_k = 2;
    std::vector<int32_t> ids(4);
    std::vector<float> weights(4);
    const elver_matrix* const matrices[] = {w.c()};
    elver_experts experts = ELVER_EXPERTS_INIT;
    experts.matrices = matrices;
    experts.n_experts = 1;
    experts.ids = ids.data();
    experts.n = 2;
    experts.top_k = 1;
    float *in = x.data(), *out = y.data();

    // Right, so that each row below is wrong for its own reason.
    ops.matmul(w, {in, 3, 32}, {out, 3, 4}, weights);
    ops.matmul_experts(experts, {in, 2, 32}, {out, 2, 4});
    cache.append({in, 3, 16}, {in, 3, 8});
    cache.attend({in, 2, 32}, {out, 2, 16});
    ops.attention(layer, {in, 2, 32}, {in, 3, 16}, {in, 3, 8}, {out, 2, 16});
    elver::route(router, {in, 2, 8}, ids, weights);
    CHECK(elver::row_bytes(ELVER_DTYPE_Q8_0, 64) == 68);

    struct Row {
        std::string names;
        std::function<void()> call;
    };
    const Row wrong[] = {
        {"columns of x: expected 32, found 31",
         [&] {
             ops.matmul(w, {in, 3, 31, 32}, {out, 3, 4});
         }},
        {"columns of y: expected 4, found 5",
         [&] {
             ops.matmul(w, {in, 3, 32}, {out, 3, 5});
         }},
        {"rows of y: expected 3, found 2",
         [&] {
             ops.matmul(w, {in, 3, 32}, {out, 2, 4});
         }},
        {"values of bias",
         [&] {
             ops.matmul(w, {in, 3, 32}, {out, 3, 4}, std::span(weights).first(3));
         }},
        {"columns of x",
         [&] {
             ops.matmul_experts(experts, {in, 2, 16}, {out, 2, 4});
         }},
        {"columns of y",
         [&] {
             ops.matmul_experts(experts, {in, 2, 32}, {out, 2, 3});
         }},
        {"rows of y",
         [&] {
             ops.matmul_experts(experts, {in, 2, 32}, {out, 1, 4});
         }},
        {"columns of k",
         [&] {
             cache.append({in, 3, 8}, {in, 3, 8});
         }},
        {"columns of v",
         [&] {
             cache.append({in, 3, 16}, {in, 3, 16});
         }},
        {"rows of v",
         [&] {
             cache.append({in, 3, 16}, {in, 2, 8});
         }},
        {"columns of q",
         [&] {
             cache.attend({in, 2, 16}, {out, 2, 16});
         }},
        {"columns of out",
         [&] {
             cache.attend({in, 2, 32}, {out, 2, 32});
         }},
        {"rows of out",
         [&] {
             cache.attend({in, 2, 32}, {out, 1, 16});
         }},
        {"columns of q",
         [&] {
             ops.attention(layer, {in, 2, 8}, {in, 3, 16}, {in, 3, 8}, {out, 2, 16});
         }},
        {"columns of k",
         [&] {
             ops.attention(layer, {in, 2, 32}, {in, 3, 8}, {in, 3, 8}, {out, 2, 16});
         }},
        {"columns of v",
         [&] {
             ops.attention(layer, {in, 2, 32}, {in, 3, 16}, {in, 3, 16}, {out, 2, 16});
         }},
        {"columns of out",
         [&] {
             ops.attention(layer, {in, 2, 32}, {in, 3, 16}, {in, 3, 8}, {out, 2, 8});
         }},
        {"rows of v",
         [&] {
             ops.attention(layer, {in, 2, 32}, {in, 3, 16}, {in, 2, 8}, {out, 2, 16});
         }},
        {"rows of out",
         [&] {
             ops.attention(layer, {in, 2, 32}, {in, 3, 16}, {in, 3, 8}, {out, 3, 16});
         }},
        {"columns of logits",
         [&] {
             elver::route(router, {in, 2, 7}, ids, weights);
         }},
        {"ids",
         [&] {
             elver::route(router, {in, 2, 8}, std::span(ids).first(3), weights);
         }},
        {"weights",
         [&] {
             elver::route(router, {in, 2, 8}, ids, std::span(weights).first(3));
         }},
        {"stride",
         [&] {
             ops.matmul(w, {in, 3, 32, 31}, {out, 3, 4});
         }},
        {"4", [&] { cache.rewind(4); }},
        {"n_threads", [] { (void)elver::Ops::open(-1); }},
    };
    for (const Row& row : wrong) {
        CAPTURE(row.names);
        try {
            row.call();
            FAIL_CHECK("expected an exception");
        } catch (const elver::Error& e) {
            CHECK(e.status() == ELVER_INVALID_ARGUMENT);
            CHECK_MESSAGE(contains(e.message(), row.names), std::string(e.message()));
        }
    }
    CHECK(cache.position() == 3);
    CHECK(cache.n_bytes() > 0);
}

TEST_CASE("elver_ops.hpp: operations and a model share threads, and a budget has room for so many sessions") {
    const auto threads = elver::Threads::create(2);
    CHECK(threads.count() == 2);
    auto ops = elver::Ops::open(threads);
    elver_model_options options = ELVER_MODEL_OPTIONS_INIT;
    options.threads = threads.c();
    auto model = elver::Model::open(capi_test::tiny_path(), options);
    model.load();
    elver::Session session(model);
    session.complete(R"({"ids": [1, 2, 3], "max_tokens": 4, "ignore_eos": true})");
    const std::vector<float> x{1, 2, 3, 4};
    std::vector<float> y(1);
    const auto w = ops.pack(ELVER_DTYPE_F32, std::as_bytes(std::span(x)), 1, 4);
    int n = 0;
    for (const elver::Event& event : session.events()) {
        ops.matmul(w, {x.data(), 1, 4}, {y.data(), 1, 1});
        n += event.id >= 0;
    }
    CHECK(n == 4);
    CHECK(y[0] == 30);
    const elver_fit fit = model.fit(model.plan().total);
    CHECK(fit.n_ctx == 64);
    CHECK(fit.n_sessions == 1);
}
