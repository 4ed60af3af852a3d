// A tiny model with a SentencePiece vocabulary, for answers whose tokens a test chooses by their bias.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/model.hpp"
#include "formats/gguf_writer.hpp"
#include "message_of.hpp"

namespace elver::test {

// Ids of its vocabulary.
enum TinyToken : int32_t { unknown = 0, bos = 1, eos = 2, mark = 3, space_a = 4, b = 5, half_e = 6, rest_of_e = 7 };

struct TinyModel {
    std::vector<std::byte> bytes;  // the file, which the model reads
    std::shared_ptr<Model> model;
};

// Metadata are changed by `change`; with `broken` the last norm's weights are not numbers.
inline TinyModel tiny_model(const std::function<void(GgufWriter&)>& change = {}, bool broken = false) {
    TinyModel out;
    auto source = ByteSource::map_path(ELVER_TEST_DATA "/golden/archs/llama.gguf");
    REQUIRE(source);
    const auto file = Gguf::parse(*std::move(source));
    REQUIRE(file);
    GgufWriter writer;
    for (const auto& [key, value] : file->metadata()) {
        if (key.substr(0, 10) != "tokenizer.") writer.copy(key, value);
    }
    std::vector<std::string> texts = {"<unk>",
                                      "<s>",
                                      "</s>",
                                      "<|mark|>",
                                      "\xe2\x96\x81"
                                      "a",
                                      "b",
                                      "<0xC3>",
                                      "<0xA9>"};
    std::vector<int32_t> types = {2, 3, 3, 3, 1, 1, 6, 6};
    while (texts.size() < 61) texts.push_back("t" + std::to_string(texts.size())), types.push_back(1);
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    writer.set_string("tokenizer.ggml.model", "llama");
    writer.set_strings("tokenizer.ggml.tokens", views);
    writer.set_f32s("tokenizer.ggml.scores", std::vector<float>(61, 0.0f));
    writer.set_i32s("tokenizer.ggml.token_type", types);
    writer.set_u32("tokenizer.ggml.bos_token_id", 1);
    writer.set_u32("tokenizer.ggml.eos_token_id", 2);
    if (change) change(writer);
    std::vector<float> nans(4096, std::numeric_limits<float>::quiet_NaN());
    for (const GgufTensor& t : file->tensors()) {
        auto bytes = t.view.bytes;
        if (broken && t.name == "output_norm.weight") bytes = std::as_bytes(std::span(nans)).first(bytes.size());
        writer.add_tensor(t.name, t.view.type, t.view.shape, bytes);
    }
    auto written = writer.write_memory();
    REQUIRE_MESSAGE(written, message_of(written));
    out.bytes = *std::move(written);
    ModelOptions options;
    options.n_threads = 1;
    auto model = Model::open(ByteSource::borrow(out.bytes), options);
    REQUIRE_MESSAGE(model, message_of(model));
    REQUIRE((*model)->load({}, nullptr));
    out.model = *model;
    return out;
}

}  // namespace elver::test
