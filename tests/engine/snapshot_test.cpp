// Snapshots: a restored or forked session is the saved one to the bit; what does not fit or is damaged changes nothing.
#include "kernels/select.hpp"
#include "message_of.hpp"
#include "models.hpp"

using namespace elver;
using namespace elver::test;

namespace {

std::vector<std::byte> saved(Session& session) {
    std::vector<std::byte> out;
    const auto done = session.save([&](std::span<const std::byte> bytes) -> Result<void> {
        out.insert(out.end(), bytes.begin(), bytes.end());
        return {};
    });
    REQUIRE_MESSAGE(done, message_of(done));
    return out;
}

std::vector<float> logits_of(const Session& session) {
    return {session.logits().begin(), session.logits().end()};
}

constexpr SessionOptions small{.n_ctx = 256, .max_batch = 16, .cache_type = {}};

}  // namespace

TEST_CASE("snapshot: restored into a new session, text goes on with the same bits") {
    for (const char* name : {"llama", "mistral", "gemma3", "phi2", "mpt", "mixtral", "mamba", "mamba2", "rwkv6",
                             "rwkv7", "granitehybrid", "falcon-h1", "lfm2", "qwen3next", "deepseek2"}) {
        for (const CacheType type : {CacheType::f32, CacheType::f16, CacheType::q8_0, CacheType::q4_0}) {
            CAPTURE(name);
            CAPTURE(static_cast<int>(type));
            const auto model = load(tiny_path(name), 2);
            SessionOptions options = small;
            options.n_ctx = model->effective(small)->n_ctx;
            options.cache_type = type;
            const auto ids = random_ids(std::min(150, model->spec().n_ctx_train - 10), model->spec().n_vocab);
            const auto more = random_ids(9, model->spec().n_vocab);
            const auto original = open_session(model, options);
            REQUIRE(original->prefill(ids));
            const auto snapshot = saved(*original);
            const auto restored = open_session(model, options);
            REQUIRE(restored->prefill(more));  // what it held is gone afterwards
            const auto done = restored->restore(snapshot, "a snapshot");
            REQUIRE_MESSAGE(done, message_of(done));
            CHECK(restored->n_past() == original->n_past());
            CHECK(logits_of(*restored) == logits_of(*original));
            const auto fork = original->fork();
            REQUIRE(fork);
            CHECK(logits_of(**fork) == logits_of(*original));
            REQUIRE(original->prefill(more));
            REQUIRE(restored->prefill(more));
            CHECK((*fork)->n_past() == int(ids.size()));  // the fork did not move
            REQUIRE((*fork)->prefill(more));
            CHECK(logits_of(*restored) == logits_of(*original));
            CHECK(logits_of(**fork) == logits_of(*original));
        }
    }
}

TEST_CASE("snapshot: of an empty session, and of one that was rewound and has no logits") {
    const auto model = load(tiny_path("llama"), 1);
    const auto ids = random_ids(20, model->spec().n_vocab);
    const auto a = open_session(model, small), b = open_session(model, small);
    REQUIRE(b->prefill(ids));
    REQUIRE(b->restore(saved(*a), "empty"));
    CHECK(b->n_past() == 0);
    CHECK(b->logits().empty());
    REQUIRE(a->prefill(ids));
    REQUIRE(a->rewind(10));
    REQUIRE(b->restore(saved(*a), "rewound"));
    CHECK(b->n_past() == 10);
    CHECK(b->logits().empty());
    REQUIRE(a->prefill(std::span(ids).subspan(10)));
    REQUIRE(b->prefill(std::span(ids).subspan(10)));
    CHECK(logits_of(*a) == logits_of(*b));
}

TEST_CASE("snapshot: another model, setting or instruction set is a mismatch that says which") {
    const auto model = load(tiny_path("llama"), 1);
    const auto session = open_session(model, small);
    REQUIRE(session->prefill(random_ids(20, model->spec().n_vocab)));
    const auto snapshot = saved(*session);
    const auto refused = [&](const std::shared_ptr<Model>& other, SessionOptions options, const char* what) {
        const auto into = open_session(other, options);
        const auto done = into->restore(snapshot, "a snapshot");
        REQUIRE(!done);
        CHECK(done.error().status() == Status::mismatch);
        CHECK_MESSAGE(done.error().message().find(what) != std::string::npos, message_of(done));
        CHECK(into->n_past() == 0);
    };
    refused(load(tiny_path("mistral"), 1), small, "another model");
    SessionOptions options = small;
    options.n_ctx = 128;
    refused(model, options, "n_ctx");
    options = small, options.max_batch = 8;
    refused(model, options, "max_batch");
    options = small, options.cache_type = CacheType::q8_0;
    refused(model, options, "cache_type");
    if (std::string(model->kernels().name) != "reference") {
        options = small, options.cache_type = CacheType::f16;
        refused(load(tiny_path("llama"), 1, "reference"), options, "instruction set");
    }
}

TEST_CASE("snapshot: cut short, lengthened or damaged anywhere is an error and changes nothing") {
    const auto model = load(tiny_path("llama"), 1);
    const auto session = open_session(model, small), into = open_session(model, small);
    REQUIRE(session->prefill(random_ids(40, model->spec().n_vocab)));
    const auto other = random_ids(30, model->spec().n_vocab);
    REQUIRE(into->prefill(other));
    const auto before = logits_of(*into);
    const auto snapshot = saved(*session);
    const auto fails = [&](std::span<const std::byte> bytes) {
        const auto done = into->restore(bytes, "a snapshot");
        return !done && (done.error().status() == Status::bad_file || done.error().status() == Status::mismatch);
    };
    int survived = 0;
    const size_t step = std::max<size_t>(1, snapshot.size() / 300);
    for (size_t n = 0; n < snapshot.size(); n += n < 80 ? 1 : step) survived += !fails(std::span(snapshot).first(n));
    // A zstd frame has a bit without meaning and one that asks for more memory than it uses: what restores in spite of
    // a changed bit is what was saved.
    int harmless = 0;
    for (size_t i = 0; i < snapshot.size(); i += i < 80 ? 1 : step) {
        auto changed = snapshot;
        changed[i] ^= std::byte{0x10};
        if (fails(changed)) continue;
        ++harmless;
        CHECK(logits_of(*into) == logits_of(*session));
        REQUIRE(into->rewind(0));
        REQUIRE(into->prefill(other));
    }
    CHECK(harmless <= 2);
    auto longer = snapshot;
    longer.push_back(std::byte{0});
    survived += !fails(longer);
    CHECK(survived == 0);
    CHECK(logits_of(*into) == before);
    const auto more = random_ids(5, model->spec().n_vocab);
    const auto fresh = open_session(model, small);
    REQUIRE(fresh->prefill(other));
    REQUIRE(fresh->prefill(more));
    REQUIRE(into->prefill(more));
    CHECK(logits_of(*into) == logits_of(*fresh));
}
