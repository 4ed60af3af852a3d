// What a host was compiled against: values of enums, sizes and offsets of structs, and what a struct of another size
// means.
#include <elver/elver_experimental.h>
#include <elver/elver_ops.h>

#include <cstddef>

#include "handles.hpp"

using namespace capi_test;

TEST_CASE("abi: the numbers of enums never change") {
    CHECK(ELVER_OK == 0);
    CHECK(ELVER_INVALID_ARGUMENT == 1);
    CHECK(ELVER_NOT_FOUND == 2);
    CHECK(ELVER_IO == 3);
    CHECK(ELVER_BAD_FILE == 4);
    CHECK(ELVER_UNSUPPORTED == 5);
    CHECK(ELVER_OVER_BUDGET == 6);
    CHECK(ELVER_OUT_OF_MEMORY == 7);
    CHECK(ELVER_CANCELLED == 8);
    CHECK(ELVER_CONTEXT_FULL == 9);
    CHECK(ELVER_MISMATCH == 10);
    CHECK(ELVER_BUSY == 11);
    CHECK(ELVER_INTERNAL == 12);
    CHECK(ELVER_LOG_DEBUG == 0);
    CHECK(ELVER_LOG_INFO == 1);
    CHECK(ELVER_LOG_WARNING == 2);
    CHECK(ELVER_CONTEXT_STOP == 0);
    CHECK(ELVER_CONTEXT_SLIDE == 1);
    CHECK(ELVER_CACHE_DEFAULT == 0);
    CHECK(ELVER_CACHE_F32 == 1);
    CHECK(ELVER_CACHE_F16 == 2);
    CHECK(ELVER_CACHE_Q8_0 == 3);
    CHECK(ELVER_CACHE_Q4_0 == 4);
    CHECK(ELVER_DESCRIBE_METADATA == 0);
    CHECK(ELVER_DESCRIBE_TENSORS == 1);
    CHECK(ELVER_DESCRIBE_SPEC == 2);
    CHECK(ELVER_DESCRIBE_PROGRAM == 3);
    CHECK(ELVER_DESCRIBE_TEMPLATE == 4);
    CHECK(ELVER_DESCRIBE_MACHINE == 5);
    CHECK(ELVER_POOLING_DEFAULT == 0);
    CHECK(ELVER_POOLING_MEAN == 1);
    CHECK(ELVER_POOLING_FIRST == 2);
    CHECK(ELVER_POOLING_LAST == 3);
    CHECK(ELVER_FINISH_NONE == 0);
    CHECK(ELVER_FINISH_STOP == 1);
    CHECK(ELVER_FINISH_LENGTH == 2);
    CHECK(ELVER_FINISH_CANCELLED == 3);
    CHECK(ELVER_EVENT_TEXT == 0);
    CHECK(ELVER_EVENT_END == 1);
    CHECK(ELVER_EVENT_PROGRESS == 2);
    CHECK(ELVER_EVENT_REASONING == 3);
    CHECK(ELVER_EVENT_TOOL_CALL == 4);
    CHECK(ELVER_INPUT_IDS == 0);
    CHECK(ELVER_INPUT_TEXT == 1);
    CHECK(ELVER_INPUT_EMBEDDINGS == 2);
    CHECK(ELVER_TOKEN_NORMAL == 1);
    CHECK(ELVER_TOKEN_UNKNOWN == 2);
    CHECK(ELVER_TOKEN_CONTROL == 3);
    CHECK(ELVER_TOKEN_USER_DEFINED == 4);
    CHECK(ELVER_TOKEN_UNUSED == 5);
    CHECK(ELVER_TOKEN_BYTE == 6);
    CHECK(ELVER_TOKEN_MARKER == 7);
    CHECK(ELVER_SPECIAL_BOS == 0);
    CHECK(ELVER_SPECIAL_EOS == 1);
    CHECK(ELVER_SPECIAL_EOT == 2);
    CHECK(ELVER_SPECIAL_EOM == 3);
    CHECK(ELVER_SPECIAL_UNK == 4);
    CHECK(ELVER_SPECIAL_SEP == 5);
    CHECK(ELVER_SPECIAL_PAD == 6);
    CHECK(ELVER_SPECIAL_CLS == 7);
    CHECK(ELVER_SPECIAL_MASK == 8);
    CHECK(ELVER_SPECIAL_FIM_PRE == 9);
    CHECK(ELVER_SPECIAL_FIM_SUF == 10);
    CHECK(ELVER_SPECIAL_FIM_MID == 11);
    CHECK(ELVER_SPECIAL_FIM_PAD == 12);
    CHECK(ELVER_SPECIAL_FIM_REP == 13);
    CHECK(ELVER_SPECIAL_FIM_SEP == 14);
    CHECK(ELVER_TEXT_ADD_SPECIAL == 1);
    CHECK(ELVER_TEXT_PARSE_SPECIAL == 2);
    CHECK(ELVER_TEXT_SHOW_SPECIAL == 4);
    CHECK(ELVER_ROUTER_SOFTMAX == 0);
    CHECK(ELVER_ROUTER_SIGMOID == 1);
    CHECK(ELVER_ROUTER_SOFTMAX_CHOSEN == 2);
    CHECK(ELVER_DTYPE_F32 == 0);
    CHECK(ELVER_DTYPE_F16 == 1);
    CHECK(ELVER_DTYPE_Q4_0 == 2);
    CHECK(ELVER_DTYPE_Q4_1 == 3);
    CHECK(ELVER_DTYPE_Q5_0 == 6);
    CHECK(ELVER_DTYPE_Q5_1 == 7);
    CHECK(ELVER_DTYPE_Q8_0 == 8);
    CHECK(ELVER_DTYPE_Q2_K == 10);
    CHECK(ELVER_DTYPE_Q3_K == 11);
    CHECK(ELVER_DTYPE_Q4_K == 12);
    CHECK(ELVER_DTYPE_Q5_K == 13);
    CHECK(ELVER_DTYPE_Q6_K == 14);
    CHECK(ELVER_DTYPE_IQ2_XXS == 16);
    CHECK(ELVER_DTYPE_IQ2_XS == 17);
    CHECK(ELVER_DTYPE_IQ3_XXS == 18);
    CHECK(ELVER_DTYPE_IQ1_S == 19);
    CHECK(ELVER_DTYPE_IQ4_NL == 20);
    CHECK(ELVER_DTYPE_IQ3_S == 21);
    CHECK(ELVER_DTYPE_IQ2_S == 22);
    CHECK(ELVER_DTYPE_IQ4_XS == 23);
    CHECK(ELVER_DTYPE_IQ1_M == 29);
    CHECK(ELVER_DTYPE_BF16 == 30);
    CHECK(ELVER_DTYPE_TQ1_0 == 34);
    CHECK(ELVER_DTYPE_TQ2_0 == 35);
    CHECK(ELVER_DTYPE_MXFP4 == 39);
    CHECK(sizeof(elver_status) == 4);
    CHECK(sizeof(elver_dtype) == 4);
    CHECK(sizeof(elver_cache_type) == 4);
}

TEST_CASE("abi: structs lie in memory as they always did (64-bit)") {
    if (sizeof(void*) != 8) return;
#define AT(type, field, offset) CHECK_MESSAGE(offsetof(type, field) == (offset), #type "." #field)
    CHECK(sizeof(elver_source) == 64);
    AT(elver_source, path, 8);
    AT(elver_source, path_size, 16);
    AT(elver_source, fd, 24);
    AT(elver_source, offset, 32);
    AT(elver_source, length, 40);
    AT(elver_source, memory, 48);
    AT(elver_source, memory_size, 56);
    CHECK(sizeof(elver_session_options) == 48);
    AT(elver_session_options, n_ctx, 8);
    AT(elver_session_options, max_batch, 12);
    AT(elver_session_options, cache_type, 16);
    AT(elver_session_options, priority, 20);
    AT(elver_session_options, context_policy, 24);
    AT(elver_session_options, n_keep, 28);
    AT(elver_session_options, go_on, 32);
    AT(elver_session_options, context, 40);
    CHECK(sizeof(elver_model_options) == 72);
    AT(elver_model_options, n_threads, 8);
    AT(elver_model_options, pass_tokens, 12);
    AT(elver_model_options, threads, 16);
    AT(elver_model_options, budget_bytes, 24);
    AT(elver_model_options, session, 32);
    AT(elver_model_options, page_bytes, 40);
    AT(elver_model_options, log, 48);
    AT(elver_model_options, log_context, 56);
    AT(elver_model_options, pass_sessions, 64);
    AT(elver_model_options, prompt_gap, 68);
    CHECK(sizeof(elver_fit) == 32);
    AT(elver_fit, total, 8);
    AT(elver_fit, least, 16);
    AT(elver_fit, n_ctx, 24);
    AT(elver_fit, n_sessions, 28);
    CHECK(sizeof(elver_plan) == 64);
    AT(elver_plan, weights, 8);
    AT(elver_plan, kv_cache, 16);
    AT(elver_plan, scratch, 24);
    AT(elver_plan, total, 32);
    AT(elver_plan, n_ctx, 40);
    AT(elver_plan, max_batch, 44);
    AT(elver_plan, cache_type, 48);
    AT(elver_plan, token_weights, 56);
    CHECK(sizeof(elver_quantize_options) == 48);
    AT(elver_quantize_options, type, 8);
    AT(elver_quantize_options, type_size, 16);
    AT(elver_quantize_options, n_threads, 24);
    AT(elver_quantize_options, progress, 32);
    AT(elver_quantize_options, context, 40);
    CHECK(sizeof(elver_pack_options) == 24);
    AT(elver_pack_options, progress, 8);
    AT(elver_pack_options, context, 16);
    CHECK(sizeof(elver_synth_options) == 48);
    AT(elver_synth_options, name, 8);
    AT(elver_synth_options, name_size, 16);
    AT(elver_synth_options, n_layers, 24);
    AT(elver_synth_options, progress, 32);
    AT(elver_synth_options, context, 40);
    CHECK(sizeof(elver_machine) == 24);
    AT(elver_machine, dot_ops_per_s, 8);
    AT(elver_machine, read_bytes_per_s, 16);
    CHECK(sizeof(elver_prefill_options) == 48);
    AT(elver_prefill_options, progress, 8);
    AT(elver_prefill_options, on_logits, 16);
    AT(elver_prefill_options, wanted, 24);
    AT(elver_prefill_options, n_wanted, 32);
    AT(elver_prefill_options, context, 40);
    CHECK(sizeof(elver_token) == 40);
    AT(elver_token, bytes, 8);
    AT(elver_token, n_bytes, 16);
    AT(elver_token, kind, 24);
    AT(elver_token, is_control, 28);
    AT(elver_token, is_end, 32);
    CHECK(sizeof(elver_input) == 72);
    AT(elver_input, kind, 8);
    AT(elver_input, flags, 12);
    AT(elver_input, ids, 16);
    AT(elver_input, n_ids, 24);
    AT(elver_input, text, 32);
    AT(elver_input, text_size, 40);
    AT(elver_input, embeddings, 48);
    AT(elver_input, n_rows, 56);
    AT(elver_input, width, 64);
    CHECK(sizeof(elver_step_item) == 40);
    AT(elver_step_item, session, 8);
    AT(elver_step_item, event, 16);
    AT(elver_step_item, error, 24);
    AT(elver_step_item, status, 32);
    CHECK(sizeof(elver_answer_options) == 32);
    AT(elver_answer_options, deferred, 24);
    AT(elver_answer_options, progress, 8);
    AT(elver_answer_options, context, 16);
    CHECK(sizeof(elver_embed_options) == 32);
    AT(elver_embed_options, pooling, 8);
    AT(elver_embed_options, progress, 16);
    AT(elver_embed_options, context, 24);
    CHECK(sizeof(elver_event) == 128);
    AT(elver_event, kind, 8);
    AT(elver_event, id, 12);
    AT(elver_event, text, 16);
    AT(elver_event, text_size, 24);
    AT(elver_event, bytes, 32);
    AT(elver_event, n_bytes, 40);
    AT(elver_event, finish, 48);
    AT(elver_event, logprob, 52);
    AT(elver_event, top, 56);
    AT(elver_event, n_top, 64);
    AT(elver_event, top_stride, 72);
    AT(elver_event, seed, 80);
    AT(elver_event, n_prompt, 88);
    AT(elver_event, n_cached, 92);
    AT(elver_event, n_generated, 96);
    AT(elver_event, n_drafted, 100);
    AT(elver_event, n_accepted, 104);
    AT(elver_event, n_unread, 108);
    AT(elver_event, prompt_seconds, 112);
    AT(elver_event, generation_seconds, 120);
    CHECK(sizeof(elver_logprob) == 24);
    AT(elver_logprob, logprob, 4);
    AT(elver_logprob, bytes, 8);
    AT(elver_logprob, n_bytes, 16);
    CHECK(sizeof(elver_ops_options) == 24);
    AT(elver_ops_options, n_threads, 8);
    AT(elver_ops_options, threads, 16);
    CHECK(sizeof(elver_sink) == 48);
    AT(elver_sink, path, 8);
    AT(elver_sink, path_size, 16);
    AT(elver_sink, fd, 24);
    AT(elver_sink, write, 32);
    AT(elver_sink, context, 40);
    CHECK(sizeof(elver_attention_options) == 56);
    AT(elver_attention_options, n_heads, 8);
    AT(elver_attention_options, n_kv_heads, 12);
    AT(elver_attention_options, head_dim, 16);
    AT(elver_attention_options, v_head_dim, 20);
    AT(elver_attention_options, causal, 24);
    AT(elver_attention_options, window, 28);
    AT(elver_attention_options, scale, 32);
    AT(elver_attention_options, soft_cap, 36);
    AT(elver_attention_options, alibi_slopes, 40);
    AT(elver_attention_options, sinks, 48);
    CHECK(sizeof(elver_router_options) == 48);
    AT(elver_router_options, score, 8);
    AT(elver_router_options, n_experts, 12);
    AT(elver_router_options, top_k, 16);
    AT(elver_router_options, renormalise, 20);
    AT(elver_router_options, n_groups, 24);
    AT(elver_router_options, n_groups_used, 28);
    AT(elver_router_options, scale, 32);
    AT(elver_router_options, choice_bias, 40);
    CHECK(sizeof(elver_experts) == 56);
    AT(elver_experts, matrices, 8);
    AT(elver_experts, n_experts, 16);
    AT(elver_experts, ids, 24);
    AT(elver_experts, weights, 32);
    AT(elver_experts, n, 40);
    AT(elver_experts, top_k, 48);
#undef AT
}

TEST_CASE("abi: a smaller struct is an older host's, a larger one a newer host's") {
    const auto model = load(path_source(tiny_path()));
    const auto plan_of = [&](const void* options, elver_plan& plan) {
        return failure([&](elver_error** e) {
            return elver_model_plan(model.get(), static_cast<const elver_session_options*>(options), &plan, e);
        });
    };
    struct Newer {
        elver_session_options now = ELVER_SESSION_OPTIONS_INIT;
        uint64_t later = 0;
    } newer;
    newer.now.struct_size = sizeof newer;
    newer.now.n_ctx = 32;
    elver_plan plan = ELVER_PLAN_INIT;
    CHECK(plan_of(&newer, plan).status == ELVER_OK);
    CHECK(plan.n_ctx == 32);

    newer.later = 1;
    const Failure unknown = plan_of(&newer, plan);
    CHECK(unknown.status == ELVER_INVALID_ARGUMENT);
    CHECK(contains(unknown.message, "elver_session_options"));
    CHECK(contains(unknown.message, "byte " + std::to_string(sizeof(elver_session_options))));

    // Older: only n_ctx was there; what follows in memory is not read.
    elver_session_options older = ELVER_SESSION_OPTIONS_INIT;
    older.struct_size = offsetof(elver_session_options, max_batch);
    older.n_ctx = 16;
    older.max_batch = older.cache_type = -7;
    CHECK(plan_of(&older, plan).status == ELVER_OK);
    CHECK(plan.n_ctx == 16);
    CHECK(plan.max_batch == 16);

    for (const size_t size : {size_t{0}, size_t{7}, size_t{1} << 40, ~size_t{0}}) {
        older.struct_size = size;
        CAPTURE(size);
        const Failure f = plan_of(&older, plan);
        CHECK(f.status == ELVER_INVALID_ARGUMENT);
        CHECK(contains(f.message, "struct_size"));
    }
}

// Called with the struct as it is initialised but for its reserved field, which must be zero. symbols.py sees that no
// struct with such a field is missing.
#define RESERVED(type, INIT, call)                                        \
    do {                                                                  \
        type given = INIT;                                                \
        given.reserved = 1;                                               \
        const Failure f = failure([&](elver_error** e) { return call; }); \
        CHECK_MESSAGE(f.status == ELVER_INVALID_ARGUMENT, #type);         \
        CHECK_MESSAGE(contains(f.message, #type), f.message);             \
        CHECK_MESSAGE(contains(f.message, "reserved"), f.message);        \
    } while (0)

TEST_CASE("abi: what is reserved in a struct must be zero") {
    const auto model = load(path_source(tiny_path()));
    const auto s = session(model.get());
    const std::string path = tiny_path();
    const elver_source source = path_source(path);
    elver_sink sink = ELVER_SINK_INIT;
    sink.write = [](const void*, size_t, void*) { return 1; };
    elver_model* m = nullptr;
    elver_ops* ops = nullptr;
    const float logits[2] = {0, 1};
    int32_t ids[2] = {1, 2};
    float weights[2];
    std::vector<float> embedding(static_cast<size_t>(elver_model_width(model.get())));
    elver_tokenizer* raw = nullptr;
    REQUIRE(elver_model_tokenizer(model.get(), &raw, nullptr) == ELVER_OK);
    const Own<elver_tokenizer> tokenizer(raw);
    RESERVED(elver_source, ELVER_SOURCE_INIT, elver_model_open(&given, nullptr, &m, e));
    RESERVED(elver_sink, ELVER_SINK_INIT, elver_session_save(s.get(), &given, e));
    RESERVED(elver_plan, ELVER_PLAN_INIT, elver_model_plan(model.get(), nullptr, &given, e));
    RESERVED(elver_quantize_options, ELVER_QUANTIZE_OPTIONS_INIT, elver_model_quantize(&source, &sink, &given, e));
    RESERVED(elver_synth_options, ELVER_SYNTH_OPTIONS_INIT, elver_model_synth(&sink, &given, e));
    elver_event event = ELVER_EVENT_INIT;
    REQUIRE(begin_completion(s.get(), R"({"ids": [1]})") == ELVER_OK);
    RESERVED(elver_step_item, ELVER_STEP_ITEM_INIT, elver_model_step(model.get(), &given, 1, sizeof given, e));
    RESERVED(elver_answer_options, ELVER_ANSWER_OPTIONS_INIT, elver_session_complete(s.get(), "{}", 2, &given, e));
    REQUIRE(elver_session_next(s.get(), &event, nullptr) == ELVER_OK);
    RESERVED(elver_token, ELVER_TOKEN_INIT, elver_tokenizer_token(tokenizer.get(), 1, &given, e));
    const elver_input input = ids_input(ids, 1);
    RESERVED(elver_embed_options, ELVER_EMBED_OPTIONS_INIT,
             elver_session_embed(s.get(), &input, &given, embedding.data(), embedding.size(), e));
    RESERVED(elver_ops_options, ELVER_OPS_OPTIONS_INIT, elver_ops_open(&given, &ops, e));
    RESERVED(elver_router_options, ELVER_ROUTER_OPTIONS_INIT, elver_ops_route(&given, logits, 1, 2, ids, weights, e));
}

TEST_CASE("abi: an older host's struct is filled as far as it goes") {
    const auto model = load(path_source(tiny_path()));
    elver_plan plan;
    std::memset(&plan, 0x5a, sizeof plan);
    plan.struct_size = offsetof(elver_plan, scratch);
    REQUIRE(elver_model_plan(model.get(), nullptr, &plan, nullptr) == ELVER_OK);
    CHECK(plan.struct_size == offsetof(elver_plan, scratch));
    CHECK(plan.weights > 0);
    CHECK(plan.weights != 0x5a5a5a5a5a5a5a5a);
    CHECK(plan.scratch == 0x5a5a5a5a5a5a5a5a);
    CHECK(plan.total == 0x5a5a5a5a5a5a5a5a);
}
