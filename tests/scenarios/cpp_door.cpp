// The scenarios' steps as a C++ program would take them: elver.hpp and elver_ops.hpp alone.
#include <elver/elver_ops.hpp>

#include <map>
#include <optional>

#include "door.hpp"

namespace scenarios {

namespace {

int collect(const void* bytes, size_t n_bytes, void* context) {
    static_cast<std::string*>(context)->append(static_cast<const char*>(bytes), n_bytes);
    return 1;
}
elver::Rows<const float> rows(const Tensor& t) {
    return {t.values.data(), t.rows(), t.width()};
}

class CppDoor final : public Door {
  public:
    explicit CppDoor(std::string path) : path_(std::move(path)) {}

    json take(const std::string& call, const json& with) override {
        static const std::map<std::string, json (CppDoor::*)(const json&)> calls{
            {"open", &CppDoor::open},
            {"load", &CppDoor::load},
            {"plan", &CppDoor::plan},
            {"fit", &CppDoor::fit},
            {"encode", &CppDoor::encode},
            {"decode", &CppDoor::decode},
            {"render", &CppDoor::render},
            {"token", &CppDoor::token},
            {"special", &CppDoor::special_id},
            {"find", &CppDoor::find},
            {"detokenizer", &CppDoor::open_detokenizer},
            {"push", &CppDoor::push},
            {"finish", &CppDoor::finish},
            {"best", &CppDoor::best},
            {"session", &CppDoor::open_session},
            {"position", &CppDoor::position},
            {"prefill", &CppDoor::prefill},
            {"logits", &CppDoor::logits},
            {"rewind", &CppDoor::rewind},
            {"embed", &CppDoor::embed},
            {"save", &CppDoor::save},
            {"restore", &CppDoor::restore},
            {"fork", &CppDoor::fork},
            {"chat", &CppDoor::chat},
            {"complete", &CppDoor::complete},
            {"next", &CppDoor::next},
            {"answer", &CppDoor::answer},
            {"cancel", &CppDoor::cancel},
            {"row_bytes", &CppDoor::row_bytes},
            {"ops", &CppDoor::open_ops},
            {"quantize", &CppDoor::quantize},
            {"dequantize", &CppDoor::dequantize},
            {"pack", &CppDoor::pack},
            {"matmul", &CppDoor::matmul},
            {"matmul_experts", &CppDoor::matmul_experts},
            {"attention", &CppDoor::attention},
            {"cache", &CppDoor::open_cache},
            {"append", &CppDoor::append},
            {"attend", &CppDoor::attend},
            {"cache_rewind", &CppDoor::cache_rewind},
            {"route", &CppDoor::route},
        };
        try {
            return (this->*calls.at(call))(with);
        } catch (const elver::Error& e) {
            throw Failure{e.status(), e.message(), e.object()};
        }
    }

  private:
    elver::Session& session() { return sessions_.back(); }
    static elver_session_options session_options(const json& with) {
        elver_session_options options = ELVER_SESSION_OPTIONS_INIT;
        options.n_ctx = with.value("n_ctx", 0);
        options.max_batch = with.value("max_batch", 0);
        options.cache_type = cache_type(with);
        options.context_policy = context_policy(with);
        options.n_keep = with.value("n_keep", 0);
        return options;
    }
    static auto up_to(const json& with) {
        return [cancel_at = with.value("cancel_at", 2.0)](double fraction) { return fraction < cancel_at; };
    }

    json open(const json& with) {
        elver_model_options options = ELVER_MODEL_OPTIONS_INIT;
        options.n_threads = with.value("n_threads", 0);
        options.budget_bytes = with.value("budget_bytes", uint64_t{0});
        std::optional<elver::Threads> threads;  // which the model keeps
        if (with.contains("shared_threads")) threads.emplace(elver::Threads::create(with["shared_threads"]));
        if (threads) options.threads = threads->c();
        model_.emplace(elver::Model::open(path_, options));
        return {{"n_vocab", model_->n_vocab()}, {"n_ctx_train", model_->n_ctx_train()}};
    }
    json load(const json& with) {
        model_->load(up_to(with));
        return json::object();
    }
    json plan(const json& with) {
        const elver_plan p = model_->plan(session_options(with));
        return {{"weights", p.weights},
                {"kv_cache", p.kv_cache},
                {"n_ctx", p.n_ctx},
                {"max_batch", p.max_batch},
                {"cache_type", cache_type_name(p.cache_type)}};
    }
    json fit(const json& with) {
        const uint64_t more = static_cast<uint64_t>(with.value("more", int64_t{0}));
        const uint64_t budget = model_->plan(session_options(with["budget_of"])).total + more;
        const elver_fit f = model_->fit(budget, session_options(with), with.value("n_sessions", 0));
        return {{"n_ctx", f.n_ctx}, {"n_sessions", f.n_sessions}};
    }
    json encode(const json& with) {
        const elver::Ids ids = model_->tokenizer().encode(with["text"].get<std::string>(), text_flags(with));
        return {{"ids", std::vector<int32_t>(ids.begin(), ids.end())}};
    }
    json decode(const json& with) {
        const std::vector<int32_t> ids = with["ids"];
        return {{"text", model_->tokenizer().decode(ids, show_flag(with)).str()}};
    }
    json render(const json& with) { return {{"text", model_->tokenizer().render(with["variables"].dump()).str()}}; }

    json token(const json& with) {
        const elver::Tokenizer tokenizer = model_->tokenizer();
        const elver::Token t = tokenizer.token(with["id"]);
        json bytes = json::array();
        for (const char byte : t.bytes) bytes.push_back(static_cast<unsigned char>(byte));
        return {
            {"bytes", bytes}, {"kind", token_kind_name(t.kind)}, {"is_control", t.is_control}, {"is_end", t.is_end}};
    }
    static json id_or_null(int32_t id) { return {{"id", id < 0 ? json(nullptr) : json(id)}}; }
    json special_id(const json& with) {
        return id_or_null(model_->tokenizer().special(static_cast<elver_special>(special(with["name"]))));
    }
    json find(const json& with) { return id_or_null(model_->tokenizer().find(with["text"].get<std::string>())); }
    json open_detokenizer(const json& with) {
        const auto before = with.value("follow", std::vector<int32_t>());
        detokenizer_.emplace(elver::Detokenizer::open(model_->tokenizer(), show_flag(with)));
        detokenizer_->follow(before);
        return json::object();
    }
    json push(const json& with) { return {{"text", std::string(detokenizer_->push(with["id"]))}}; }
    json finish(const json&) { return {{"text", std::string(detokenizer_->finish())}}; }

    static elver::Input input_of(const Given& given) {
        if (given.kind == ELVER_INPUT_TEXT) return elver::Input::text(given.text, given.flags);
        if (given.kind == ELVER_INPUT_IDS) return given.ids;
        return elver::Input::embeddings(given.rows.values, static_cast<size_t>(given.rows.width()));
    }
    json open_session(const json& with) {
        sessions_.emplace_back(elver::Session(*model_, session_options(with)));
        return {{"position", session().position()}, {"n_ctx", session().n_ctx()}};
    }
    json position(const json&) { return {{"position", session().position()}}; }
    json prefill(const json& with) {
        const Given given(with);
        session().prefill(input_of(given));
        return position({});
    }
    json logits(const json&) {
        const auto row = session().logits();
        return {{"logits", row.empty() ? json(nullptr) : json(std::vector<float>(row.begin(), row.end()))}};
    }
    json best(const json& with) { return best_of(session().logits(), with); }
    json rewind(const json& with) {
        session().rewind(with["position"]);
        return position({});
    }
    json embed(const json& with) {
        const Given given(with);
        return {{"embedding", session().embed(input_of(given), static_cast<elver_pooling>(pooling(with)))}};
    }
    json save(const json&) {
        saved_.clear();
        elver_sink sink = ELVER_SINK_INIT;
        sink.write = collect;
        sink.context = &saved_;
        session().save(sink);
        return json::object();
    }
    json restore(const json&) {
        elver_source source = ELVER_SOURCE_INIT;
        source.memory = saved_.data();
        source.memory_size = saved_.size();
        session().restore(source);
        return position({});
    }
    json fork(const json&) {
        sessions_.push_back(session().fork());
        return position({});
    }
    json chat(const json& with) {
        session().chat(with["request"].dump(), up_to(with));
        return json::object();
    }
    json complete(const json& with) {
        session().complete(with["request"].dump(), up_to(with));
        return json::object();
    }
    json next(const json&) {
        const elver::Event event = session().next();
        return {{"kind", event_kind_name(event.kind)},
                {"text", std::string(event.text)},
                {"id", event.id},
                {"counts", {event.n_prompt, event.n_generated}},
                {"cached", event.n_cached},
                {"finish", finish_name(event.finish)}};
    }
    json answer(const json&) {
        std::string text;
        std::vector<int32_t> ids;
        elver_finish finish = ELVER_FINISH_NONE;
        json counts, cached;
        for (const elver::Event& event : session().events()) {
            text += event.text;
            if (event.id >= 0) ids.push_back(event.id);
            finish = event.finish;
            counts = {event.n_prompt, event.n_generated};
            cached = event.n_cached;
        }
        return {{"text", text}, {"ids", ids}, {"finish", finish_name(finish)}, {"counts", counts}, {"cached", cached}};
    }
    json cancel(const json&) {
        session().cancel();
        return json::object();
    }

    static elver_dtype type_of(const json& with) { return static_cast<elver_dtype>(dtype(with["dtype"])); }
    json row_bytes(const json& with) { return {{"n_bytes", elver::row_bytes(type_of(with), with["k"])}}; }
    json open_ops(const json& with) {
        ops_.emplace(elver::Ops::open(with.value("n_threads", 0)));
        return json::object();
    }
    json quantize(const json& with) {
        const Tensor x = tensor(with["x"]);
        const size_t n_bytes = elver::row_bytes(type_of(with), x.width());
        std::vector<std::byte> out(static_cast<size_t>(x.rows()) * n_bytes);
        ops_->quantize(type_of(with), rows(x), out);
        return {{"rows", json_of({x.rows(), static_cast<int64_t>(n_bytes)}, out)}};
    }
    json dequantize(const json& with) {
        const int64_t n = with["rows"]["shape"][0], k = with["k"];
        std::vector<float> x(static_cast<size_t>(n * k));
        ops_->dequantize(type_of(with), bytes(with["rows"]), {x.data(), n, k});
        return {{"x", json_of({n, k}, x)}};
    }
    json pack(const json& with) {
        matrices_.push_back(ops_->pack(type_of(with), bytes(with["rows"]), with["rows"]["shape"][0], with["k"]));
        return {{"n_rows", matrices_.back().rows()}, {"k", matrices_.back().columns()}};
    }
    json matmul(const json& with) {
        const elver::Matrix& w = matrices_.back();
        const Tensor x = tensor(with["x"]);
        const Tensor bias = with.contains("bias") ? tensor(with["bias"]) : Tensor{};
        std::vector<float> y(static_cast<size_t>(x.rows() * w.rows()));
        ops_->matmul(w, rows(x), {y.data(), x.rows(), w.rows()}, bias.values);
        return {{"y", json_of({x.rows(), w.rows()}, y)}};
    }
    json matmul_experts(const json& with) {
        const Tensor x = tensor(with["x"]);
        const Tensor weights = with.contains("weights") ? tensor(with["weights"]) : Tensor{};
        const std::vector<int32_t> ids = with["ids"]["values"];
        std::vector<const elver_matrix*> matrices;
        for (const elver::Matrix& matrix : matrices_) matrices.push_back(matrix.c());
        elver_experts experts = ELVER_EXPERTS_INIT;
        experts.matrices = matrices.data();
        experts.n_experts = static_cast<int64_t>(matrices.size());
        experts.ids = ids.data();
        experts.weights = weights.values.empty() ? nullptr : weights.values.data();
        experts.n = with["ids"]["shape"][0];
        experts.top_k = with["ids"]["shape"][1];
        const int64_t n_rows = matrices_.front().rows();
        const int64_t n = experts.weights == nullptr ? experts.n * experts.top_k : experts.n;
        std::vector<float> y(static_cast<size_t>(n * n_rows));
        ops_->matmul_experts(experts, rows(x), {y.data(), n, n_rows});
        return {{"y", json_of({n, n_rows}, y)}};
    }

    json attention(const json& with) {
        const AttentionLayer layer = attention_layer(with);
        const elver_attention_options& a = layer.options;
        const Tensor q = tensor(with["q"]), k = tensor(with["k"]), v = tensor(with["v"]);
        const int64_t v_head_dim = elver::Cache::v_head_dim(a), width = a.n_heads * v_head_dim;
        std::vector<float> out(static_cast<size_t>(q.rows() * width));
        ops_->attention(a, rows(q), rows(k), rows(v), {out.data(), q.rows(), width});
        return {{"out", json_of({q.rows(), a.n_heads, v_head_dim}, out)}};
    }
    json open_cache(const json& with) {
        layer_ = attention_layer(with);
        cache_.emplace(ops_->cache(layer_.options, with["n_ctx"], with["max_batch"],
                                   static_cast<elver_cache_type>(cache_type(with))));
        return json::object();
    }
    json append(const json& with) {
        const Tensor k = tensor(with["k"]), v = tensor(with["v"]);
        cache_->append(rows(k), rows(v));
        return {{"position", cache_->position()}};
    }
    json attend(const json& with) {
        const Tensor q = tensor(with["q"]);
        const int64_t v_head_dim = elver::Cache::v_head_dim(layer_.options),
                      width = layer_.options.n_heads * v_head_dim;
        std::vector<float> out(static_cast<size_t>(q.rows() * width));
        cache_->attend(rows(q), {out.data(), q.rows(), width});
        return {{"out", json_of({q.rows(), layer_.options.n_heads, v_head_dim}, out)}};
    }
    json cache_rewind(const json& with) {
        cache_->rewind(with["position"]);
        return {{"position", cache_->position()}};
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
        std::vector<int32_t> ids(static_cast<size_t>(shape[0] * shape[1]));
        std::vector<float> weights(ids.size());
        elver::route(options, rows(logits), ids, weights);
        return {{"ids", {{"shape", shape}, {"values", ids}}}, {"weights", json_of(shape, weights)}};
    }

    std::string path_, saved_;
    std::optional<elver::Model> model_;
    std::optional<elver::Detokenizer> detokenizer_;
    std::vector<elver::Session> sessions_;  // the last is in use
    // In this order: what was made with the operations goes before them.
    std::optional<elver::Ops> ops_;
    std::vector<elver::Matrix> matrices_;
    std::optional<elver::Cache> cache_;
    AttentionLayer layer_;
};

}  // namespace

std::unique_ptr<Door> cpp_door(std::string path) {
    return std::make_unique<CppDoor>(std::move(path));
}

}  // namespace scenarios
