// The scenarios' steps as a C program would take them: elver.h and elver_ops.h alone.
#include <elver/elver_ops.h>

#include <map>
#include <utility>

#include "door.hpp"

namespace scenarios {

namespace {

void check(elver_status status, elver_error* error) {
    if (status == ELVER_OK) return;
    Failure f{status, elver_error_message(error), elver_error_object(error)};
    elver_error_release(error);
    throw f;
}
// check(CALL(elver_x(..., &e)))
#define CALL(call)                        \
    do {                                  \
        elver_error* e = nullptr;         \
        const elver_status status = call; \
        check(status, e);                 \
    } while (0)

std::string take(elver_text* text) {
    std::string out(elver_text_data(text), elver_text_size(text));
    elver_text_release(text);
    return out;
}

int up_to(double fraction, void* context) {
    return fraction < *static_cast<const double*>(context);
}
int collect(const void* bytes, size_t n_bytes, void* context) {
    static_cast<std::string*>(context)->append(static_cast<const char*>(bytes), n_bytes);
    return 1;
}

class CDoor final : public Door {
  public:
    explicit CDoor(std::string path) : path_(std::move(path)) {}
    CDoor(const CDoor&) = delete;
    CDoor& operator=(const CDoor&) = delete;
    ~CDoor() override {
        elver_detokenizer_release(detokenizer_);
        for (elver_session* s : sessions_) elver_session_release(s);
        elver_model_release(model_);
        elver_threads_release(threads_);
        elver_cache_release(cache_);
        for (elver_matrix* m : matrices_) elver_matrix_release(m);
        elver_ops_release(ops_);
    }

    json take(const std::string& call, const json& with) override {
        static const std::map<std::string, json (CDoor::*)(const json&)> calls{
            {"open", &CDoor::open},
            {"load", &CDoor::load},
            {"plan", &CDoor::plan},
            {"fit", &CDoor::fit},
            {"encode", &CDoor::encode},
            {"decode", &CDoor::decode},
            {"render", &CDoor::render},
            {"token", &CDoor::token},
            {"special", &CDoor::special_id},
            {"find", &CDoor::find},
            {"detokenizer", &CDoor::open_detokenizer},
            {"push", &CDoor::push},
            {"finish", &CDoor::finish},
            {"best", &CDoor::best},
            {"session", &CDoor::open_session},
            {"position", &CDoor::position},
            {"prefill", &CDoor::prefill},
            {"logits", &CDoor::logits},
            {"rewind", &CDoor::rewind},
            {"embed", &CDoor::embed},
            {"save", &CDoor::save},
            {"restore", &CDoor::restore},
            {"fork", &CDoor::fork},
            {"chat", &CDoor::chat},
            {"complete", &CDoor::complete},
            {"next", &CDoor::next},
            {"answer", &CDoor::answer},
            {"cancel", &CDoor::cancel},
            {"row_bytes", &CDoor::row_bytes},
            {"ops", &CDoor::open_ops},
            {"quantize", &CDoor::quantize},
            {"dequantize", &CDoor::dequantize},
            {"pack", &CDoor::pack},
            {"matmul", &CDoor::matmul},
            {"matmul_experts", &CDoor::matmul_experts},
            {"attention", &CDoor::attention},
            {"cache", &CDoor::open_cache},
            {"append", &CDoor::append},
            {"attend", &CDoor::attend},
            {"cache_rewind", &CDoor::cache_rewind},
            {"route", &CDoor::route},
        };
        return (this->*calls.at(call))(with);
    }

  private:
    elver_session* session() const { return sessions_.empty() ? nullptr : sessions_.back(); }
    static elver_session_options session_options(const json& with) {
        elver_session_options options = ELVER_SESSION_OPTIONS_INIT;
        options.n_ctx = with.value("n_ctx", 0);
        options.max_batch = with.value("max_batch", 0);
        options.cache_type = cache_type(with);
        options.context_policy = context_policy(with);
        options.n_keep = with.value("n_keep", 0);
        return options;
    }

    json open(const json& with) {
        elver_source source = ELVER_SOURCE_INIT;
        source.path = path_.data();
        source.path_size = path_.size();
        elver_model_options options = ELVER_MODEL_OPTIONS_INIT;
        options.n_threads = with.value("n_threads", 0);
        options.budget_bytes = with.value("budget_bytes", uint64_t{0});
        if (with.contains("shared_threads")) CALL(elver_threads_create(with["shared_threads"], &threads_, &e));
        options.threads = threads_;
        CALL(elver_model_open(&source, &options, &model_, &e));
        return {{"n_vocab", elver_model_n_vocab(model_)}, {"n_ctx_train", elver_model_n_ctx_train(model_)}};
    }
    json load(const json& with) {
        double cancel_at = with.value("cancel_at", 2.0);
        CALL(elver_model_load(model_, up_to, &cancel_at, &e));
        return json::object();
    }
    json plan(const json& with) {
        const elver_session_options options = session_options(with);
        elver_plan p = ELVER_PLAN_INIT;
        CALL(elver_model_plan(model_, &options, &p, &e));
        return {{"weights", p.weights},
                {"kv_cache", p.kv_cache},
                {"n_ctx", p.n_ctx},
                {"max_batch", p.max_batch},
                {"cache_type", cache_type_name(p.cache_type)}};
    }
    json fit(const json& with) {
        const elver_session_options assumed = session_options(with["budget_of"]), options = session_options(with);
        elver_plan p = ELVER_PLAN_INIT;
        CALL(elver_model_plan(model_, &assumed, &p, &e));
        const uint64_t budget = p.total + static_cast<uint64_t>(with.value("more", int64_t{0}));
        elver_fit f = ELVER_FIT_INIT;
        CALL(elver_model_fit(model_, budget, &options, with.value("n_sessions", 0), &f, &e));
        return {{"n_ctx", f.n_ctx}, {"n_sessions", f.n_sessions}};
    }

    // Runs body(tokenizer).
    template <class Body>
    json with_tokenizer(Body&& body) {
        elver_tokenizer* tokenizer = nullptr;
        CALL(elver_model_tokenizer(model_, &tokenizer, &e));
        const std::unique_ptr<elver_tokenizer, decltype(&elver_tokenizer_release)> owned(tokenizer,
                                                                                         elver_tokenizer_release);
        return body(tokenizer);
    }
    json encode(const json& with) {
        return with_tokenizer([&](elver_tokenizer* tokenizer) -> json {
            const std::string text = with["text"];
            elver_ids* ids = nullptr;
            CALL(elver_tokenizer_encode(tokenizer, text.data(), text.size(), text_flags(with), &ids, &e));
            const std::vector<int32_t> out(elver_ids_data(ids), elver_ids_data(ids) + elver_ids_size(ids));
            elver_ids_release(ids);
            return {{"ids", out}};
        });
    }
    json decode(const json& with) {
        return with_tokenizer([&](elver_tokenizer* tokenizer) -> json {
            const std::vector<int32_t> ids = with["ids"];
            elver_text* text = nullptr;
            CALL(elver_tokenizer_decode(tokenizer, ids.data(), ids.size(), show_flag(with), &text, &e));
            return {{"text", scenarios::take(text)}};
        });
    }
    json render(const json& with) {
        return with_tokenizer([&](elver_tokenizer* tokenizer) -> json {
            const std::string variables = with["variables"].dump();
            elver_text* text = nullptr;
            CALL(elver_tokenizer_render(tokenizer, nullptr, 0, variables.data(), variables.size(), &text, &e));
            return {{"text", scenarios::take(text)}};
        });
    }

    json token(const json& with) {
        return with_tokenizer([&](elver_tokenizer* tokenizer) -> json {
            elver_token t = ELVER_TOKEN_INIT;
            CALL(elver_tokenizer_token(tokenizer, with["id"], &t, &e));
            const auto* bytes = reinterpret_cast<const unsigned char*>(t.bytes);
            return {{"bytes", std::vector<int>(bytes, bytes + t.n_bytes)},
                    {"kind", token_kind_name(t.kind)},
                    {"is_control", t.is_control != 0},
                    {"is_end", t.is_end != 0}};
        });
    }
    static json id_or_null(int32_t id) { return {{"id", id < 0 ? json(nullptr) : json(id)}}; }
    json special_id(const json& with) {
        return with_tokenizer([&](elver_tokenizer* tokenizer) {
            return id_or_null(elver_tokenizer_special(tokenizer, static_cast<elver_special>(special(with["name"]))));
        });
    }
    json find(const json& with) {
        return with_tokenizer([&](elver_tokenizer* tokenizer) {
            const std::string text = with["text"];
            return id_or_null(elver_tokenizer_find(tokenizer, text.data(), text.size()));
        });
    }
    json open_detokenizer(const json& with) {
        return with_tokenizer([&](elver_tokenizer* tokenizer) -> json {
            const std::vector<int32_t> before = with.value("follow", std::vector<int32_t>());
            elver_detokenizer_release(std::exchange(detokenizer_, nullptr));
            CALL(elver_detokenizer_open(tokenizer, show_flag(with), &detokenizer_, &e));
            CALL(elver_detokenizer_follow(detokenizer_, before.data(), before.size(), &e));
            return json::object();
        });
    }
    json push(const json& with) {
        const char* text = nullptr;
        size_t size = 0;
        CALL(elver_detokenizer_push(detokenizer_, with["id"], &text, &size, &e));
        return {{"text", std::string(text, size)}};
    }
    json finish(const json&) {
        const char* text = nullptr;
        size_t size = 0;
        CALL(elver_detokenizer_finish(detokenizer_, &text, &size, &e));
        return {{"text", std::string(text, size)}};
    }

    static elver_input input_of(const Given& given) {
        elver_input input = ELVER_INPUT_INIT;
        input.kind = given.kind;
        input.flags = given.flags;
        if (given.kind == ELVER_INPUT_IDS) {
            input.ids = given.ids.data();
            input.n_ids = given.ids.size();
        } else if (given.kind == ELVER_INPUT_TEXT) {
            input.text = given.text.data();
            input.text_size = given.text.size();
        } else {
            input.embeddings = given.rows.values.data();
            input.n_rows = static_cast<size_t>(given.rows.rows());
            input.width = static_cast<size_t>(given.rows.width());
        }
        return input;
    }
    json open_session(const json& with) {
        const elver_session_options options = session_options(with);
        elver_session* out = nullptr;
        CALL(elver_session_open(model_, &options, &out, &e));
        sessions_.push_back(out);
        return {{"position", elver_session_position(out)}, {"n_ctx", elver_session_n_ctx(out)}};
    }
    json position(const json&) { return {{"position", elver_session_position(session())}}; }
    json prefill(const json& with) {
        const Given given(with);
        const elver_input input = input_of(given);
        CALL(elver_session_prefill(session(), &input, nullptr, &e));
        return position({});
    }
    json logits(const json&) {
        size_t n = 0;
        const float* row = elver_session_logits(session(), &n);
        if (row == nullptr) return {{"logits", nullptr}};
        return {{"logits", std::vector<float>(row, row + n)}};
    }
    json best(const json& with) {
        size_t n = 0;
        float* row = elver_session_logits(session(), &n);
        return best_of({row, n}, with);
    }
    json rewind(const json& with) {
        CALL(elver_session_rewind(session(), with["position"], &e));
        return position({});
    }
    json embed(const json& with) {
        const Given given(with);
        const elver_input input = input_of(given);
        elver_embed_options options = ELVER_EMBED_OPTIONS_INIT;
        options.pooling = pooling(with);
        std::vector<float> out(static_cast<size_t>(elver_model_width(model_)));
        CALL(elver_session_embed(session(), &input, &options, out.data(), out.size(), &e));
        return {{"embedding", out}};
    }
    json save(const json&) {
        saved_.clear();
        elver_sink sink = ELVER_SINK_INIT;
        sink.write = collect;
        sink.context = &saved_;
        CALL(elver_session_save(session(), &sink, &e));
        return json::object();
    }
    json restore(const json&) {
        elver_source source = ELVER_SOURCE_INIT;
        source.memory = saved_.data();
        source.memory_size = saved_.size();
        CALL(elver_session_restore(session(), &source, &e));
        return position({});
    }
    json fork(const json&) {
        elver_session* out = nullptr;
        CALL(elver_session_fork(session(), nullptr, nullptr, &out, &e));
        sessions_.push_back(out);
        return position({});
    }

    json begin(decltype(elver_session_chat)* function, const json& with) {
        const std::string request = with["request"].dump();
        double cancel_at = with.value("cancel_at", 2.0);
        elver_answer_options options = ELVER_ANSWER_OPTIONS_INIT;
        options.progress = up_to;
        options.context = &cancel_at;
        CALL(function(session(), request.data(), request.size(), &options, &e));
        return json::object();
    }
    json chat(const json& with) { return begin(elver_session_chat, with); }
    json complete(const json& with) { return begin(elver_session_complete, with); }
    json next(const json&) {
        elver_event event = ELVER_EVENT_INIT;
        CALL(elver_session_next(session(), &event, &e));
        return {{"kind", event_kind_name(event.kind)},
                {"text", std::string(event.text, event.text_size)},
                {"id", event.id},
                {"counts", {event.n_prompt, event.n_generated}},
                {"cached", event.n_cached},
                {"finish", finish_name(event.finish)}};
    }
    json answer(const json&) {
        std::string text;
        std::vector<int32_t> ids;
        for (;;) {
            const json event = next({});
            text += event["text"].get<std::string>();
            if (event["id"] >= 0) ids.push_back(event["id"]);
            if (event["finish"] == "none") continue;
            return {{"text", text},
                    {"ids", ids},
                    {"finish", event["finish"]},
                    {"counts", event["counts"]},
                    {"cached", event["cached"]}};
        }
    }
    json cancel(const json&) {
        elver_session_cancel(session());
        return json::object();
    }

    json row_bytes(const json& with) {
        size_t n_bytes = 0;
        CALL(elver_dtype_row_bytes(static_cast<elver_dtype>(dtype(with["dtype"])), with["k"], &n_bytes, &e));
        return {{"n_bytes", n_bytes}};
    }
    json open_ops(const json& with) {
        elver_ops_options options = ELVER_OPS_OPTIONS_INIT;
        options.n_threads = with.value("n_threads", 0);
        CALL(elver_ops_open(&options, &ops_, &e));
        return json::object();
    }
    json quantize(const json& with) {
        const auto type = static_cast<elver_dtype>(dtype(with["dtype"]));
        const Tensor x = tensor(with["x"]);
        size_t n_bytes = 0;
        CALL(elver_dtype_row_bytes(type, x.width(), &n_bytes, &e));
        std::vector<std::byte> rows(static_cast<size_t>(x.rows()) * n_bytes);
        CALL(elver_ops_quantize(ops_, type, x.values.data(), x.rows(), x.width(), x.width(), rows.data(), rows.size(),
                                &e));
        return {{"rows", json_of({x.rows(), static_cast<int64_t>(n_bytes)}, rows)}};
    }
    json dequantize(const json& with) {
        const std::vector<std::byte> rows = bytes(with["rows"]);
        const int64_t n = with["rows"]["shape"][0], k = with["k"];
        std::vector<float> x(static_cast<size_t>(n * k));
        CALL(elver_ops_dequantize(ops_, static_cast<elver_dtype>(dtype(with["dtype"])), rows.data(), rows.size(), n, k,
                                  x.data(), k, &e));
        return {{"x", json_of({n, k}, x)}};
    }
    json pack(const json& with) {
        const std::vector<std::byte> rows = bytes(with["rows"]);
        elver_matrix* out = nullptr;
        CALL(elver_matrix_pack(ops_, static_cast<elver_dtype>(dtype(with["dtype"])), rows.data(), rows.size(),
                               with["rows"]["shape"][0], with["k"], &out, &e));
        matrices_.push_back(out);
        return {{"n_rows", elver_matrix_rows(out)}, {"k", elver_matrix_columns(out)}};
    }
    json matmul(const json& with) {
        const elver_matrix* w = matrices_.back();
        const Tensor x = tensor(with["x"]);
        const Tensor bias = with.contains("bias") ? tensor(with["bias"]) : Tensor{};
        const int64_t n_rows = elver_matrix_rows(w);
        std::vector<float> y(static_cast<size_t>(x.rows() * n_rows));
        CALL(elver_ops_matmul(ops_, w, x.values.data(), x.rows(), x.width(),
                              bias.values.empty() ? nullptr : bias.values.data(), y.data(), n_rows, &e));
        return {{"y", json_of({x.rows(), n_rows}, y)}};
    }
    json matmul_experts(const json& with) {
        const Tensor x = tensor(with["x"]);
        const Tensor weights = with.contains("weights") ? tensor(with["weights"]) : Tensor{};
        const std::vector<int32_t> ids = with["ids"]["values"];
        elver_experts experts = ELVER_EXPERTS_INIT;
        experts.matrices = matrices_.data();
        experts.n_experts = static_cast<int64_t>(matrices_.size());
        experts.ids = ids.data();
        experts.weights = weights.values.empty() ? nullptr : weights.values.data();
        experts.n = with["ids"]["shape"][0];
        experts.top_k = with["ids"]["shape"][1];
        const int64_t n_rows = elver_matrix_rows(matrices_.front());
        const int64_t n = experts.weights == nullptr ? experts.n * experts.top_k : experts.n;
        std::vector<float> y(static_cast<size_t>(n * n_rows));
        CALL(elver_ops_matmul_experts(ops_, &experts, x.values.data(), x.rows(), x.width(), y.data(), n_rows, &e));
        return {{"y", json_of({n, n_rows}, y)}};
    }

    static int64_t v_head_dim(const elver_attention_options& a) {
        return a.v_head_dim == 0 ? a.head_dim : a.v_head_dim;
    }
    json attention(const json& with) {
        const AttentionLayer layer = attention_layer(with);
        const elver_attention_options& a = layer.options;
        const Tensor q = tensor(with["q"]), k = tensor(with["k"]), v = tensor(with["v"]);
        const int64_t width = a.n_heads * v_head_dim(a);
        std::vector<float> out(static_cast<size_t>(q.rows() * width));
        CALL(elver_ops_attention(ops_, &a, q.values.data(), q.rows(), q.width(), k.values.data(), k.width(),
                                 v.values.data(), v.width(), k.rows(), out.data(), width, &e));
        return {{"out", json_of({q.rows(), a.n_heads, v_head_dim(a)}, out)}};
    }
    json open_cache(const json& with) {
        layer_ = attention_layer(with);
        CALL(elver_cache_open(ops_, &layer_.options, with["n_ctx"], with["max_batch"],
                              static_cast<elver_cache_type>(cache_type(with)), &cache_, &e));
        return json::object();
    }
    json append(const json& with) {
        const Tensor k = tensor(with["k"]), v = tensor(with["v"]);
        CALL(elver_cache_append(cache_, k.values.data(), k.width(), v.values.data(), v.width(), k.rows(), &e));
        return {{"position", elver_cache_position(cache_)}};
    }
    json attend(const json& with) {
        const Tensor q = tensor(with["q"]);
        const int64_t width = layer_.options.n_heads * v_head_dim(layer_.options);
        std::vector<float> out(static_cast<size_t>(q.rows() * width));
        CALL(elver_cache_attend(cache_, q.values.data(), q.width(), q.rows(), out.data(), width, &e));
        return {{"out", json_of({q.rows(), layer_.options.n_heads, v_head_dim(layer_.options)}, out)}};
    }
    json cache_rewind(const json& with) {
        CALL(elver_cache_rewind(cache_, with["position"], &e));
        return {{"position", elver_cache_position(cache_)}};
    }
    json route(const json& with) {
        const Tensor logits = tensor(with["logits"]);
        elver_router_options options = ELVER_ROUTER_OPTIONS_INIT;
        options.score = score(with);
        options.n_experts = static_cast<int32_t>(logits.width());
        options.top_k = with["top_k"];
        options.renormalise = with.value("renormalise", false);
        options.n_groups = with.value("n_groups", 1);
        options.n_groups_used = with.value("n_groups_used", 1);
        options.scale = with.value("scale", 1.0F);
        const auto bias = with.contains("choice_bias") ? tensor(with["choice_bias"]).values : std::vector<float>();
        if (!bias.empty()) options.choice_bias = bias.data();
        const std::vector<int64_t> shape{logits.rows(), options.top_k};
        std::vector<int32_t> ids(static_cast<size_t>(shape[0] * std::max<int64_t>(shape[1], 0)));
        std::vector<float> weights(ids.size());
        CALL(elver_ops_route(&options, logits.values.data(), logits.rows(), logits.width(), ids.data(), weights.data(),
                             &e));
        return {{"ids", {{"shape", shape}, {"values", ids}}}, {"weights", json_of(shape, weights)}};
    }

    std::string path_, saved_;
    elver_threads* threads_ = nullptr;
    elver_model* model_ = nullptr;
    elver_detokenizer* detokenizer_ = nullptr;
    std::vector<elver_session*> sessions_;  // the last is in use
    elver_ops* ops_ = nullptr;
    std::vector<elver_matrix*> matrices_;
    elver_cache* cache_ = nullptr;
    AttentionLayer layer_;
};

}  // namespace

std::unique_ptr<Door> c_door(std::string path) {
    return std::make_unique<CDoor>(std::move(path));
}

}  // namespace scenarios
