// Synthetic models have the dimensions named, and load within their plan.
#include "tools/synth.hpp"

#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "base/file_writer.hpp"
#include "engine/memory.hpp"
#include "engine/models.hpp"

using namespace elver;
using namespace elver::test;

TEST_CASE("synthetic models: of the dimensions named, and loaded within plan and file size") {
    CHECK(parse_synth("llama-9b:q4_0", 0).error().message().find("mistral-7b") != std::string::npos);
    CHECK(parse_synth("llama-1b", 0).error().status() == Status::invalid_argument);
    CHECK(parse_synth("llama-1b:q9", 0).error().status() == Status::invalid_argument);
    CHECK(parse_synth("llama-1b:i32", 0).error().status() == Status::invalid_argument);
    CHECK(parse_synth("llama-1b:q4_0", 17).error().status() == Status::invalid_argument);
    const auto spec = parse_synth("phi-2:q4_0", 1);
    REQUIRE(spec);
    const auto path = std::filesystem::temp_directory_path() / ("elver-synth.gguf-" + std::to_string(getpid()));
    const auto written = write_file(path.string(), [&](const ByteSink& sink) { return write_synth(*spec, sink, {}); });
    REQUIRE_MESSAGE(written, message_of(written));
    const bool can_tell = reset_peak();
    const int64_t before = resident().all;
    const auto model = load(path.string(), 2);
    CHECK(model->spec().n_vocab == 51200);
    CHECK(model->spec().n_layers == 1);
    CHECK(model->spec().width == 2560);
    const auto file_bytes = int64_t(std::filesystem::file_size(path));
    std::filesystem::remove(path);
    if (can_tell && before > 0 && model->kernels().reads_packs) {
        MESSAGE("after load ", resident().all - before, ", planned ", model->plan({})->weights, ", peak ",
                peak() - before, ", file ", file_bytes);
        CHECK(resident().all - before <= int64_t(model->plan({})->weights) + (16 << 20));
        CHECK(double(peak() - before) <= 1.15 * double(file_bytes));
    }
    const auto session = open_session(model, {.n_ctx = 32, .max_batch = 8, .cache_type = {}});
    REQUIRE(session->prefill(random_ids(5, 51200)));
    for (const float logit : session->logits()) REQUIRE(std::isfinite(logit));
    const auto cancelled = write_synth(
        *spec, [](std::span<const std::byte>) { return Result<void>(); }, [](double f) { return f < 0.1; });
    CHECK(cancelled.error().status() == Status::cancelled);
}
