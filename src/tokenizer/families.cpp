// The families of vocabularies and the one that stands for none: a file without text still runs on token ids.
#include <algorithm>
#include <iterator>

#include "base/text.hpp"
#include "tokenizer/text_encoder.hpp"

namespace elver {

namespace {

constexpr Family families[] = {
    {.model = "gpt2", .make = make_bpe},
    {.model = "gemma4", .make = make_bpe},
    {.model = "whitespace", .make = make_bpe},
    {.model = "llama", .make = make_spm, .bos = 1, .eos = 2, .unk = 0},
    {.model = "t5", .make = make_unigram, .eos = 1, .unk = 2, .pad = 0},
    {.model = "bert", .make = make_wordpiece, .unk = 100, .sep = 102, .pad = 0, .cls = 101, .mask = 103},
    {.model = "rwkv", .make = make_rwkv},
    {.model = "plamo2", .make = make_plamo2, .bos = 1, .eos = 2, .unk = 0, .pad = 3},
    {.model = "none", .make = make_textless},
    {.model = "no_vocab", .make = make_textless},
    {.model = "test", .make = make_textless},
};

class Textless final : public TextEncoder {
  public:
    Textless(std::string name, std::string found) : name_(std::move(name)), found_(std::move(found)) {}

    Result<void> encode(std::string_view, std::vector<int32_t>&) const override {
        return Error(Status::unsupported,
                     cat(name_, ": the file holds no vocabulary that elver can use (", found_,
                         "); give token ids instead of text"),
                     "tokenizer.ggml.model");
    }
    std::string bytes_of(const Token&) const override { return {}; }
    EncoderDefaults defaults() const noexcept override { return {}; }

  private:
    std::string name_, found_;
};

}  // namespace

Result<const Family*> family_of(const VocabSource& source) {
    const auto row =
        std::find_if(std::begin(families), std::end(families), [&](const auto& f) { return source.model == f.model; });
    if (row != std::end(families)) return row;
    std::string known;
    for (const Family& family : families) known.append(known.empty() ? "" : ", ").append(family.model);
    return Error(Status::unsupported,
                 cat(source.name, ": key \"tokenizer.ggml.model\": expected one of ", known, "; found ",
                     in_quotes(source.model)),
                 "tokenizer.ggml.model");
}

Result<std::unique_ptr<TextEncoder>> make_textless(const VocabSource& source, const Vocab&) {
    return std::unique_ptr<TextEncoder>(std::make_unique<Textless>(
        source.name,
        cat("tokenizer.ggml.model ", in_quotes(source.model), ", tokenizer.ggml.pre ", in_quotes(source.pre))));
}

int byte_of_spelling(std::string_view text) noexcept {
    const auto digit = [](char c) {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'A' && c <= 'F') return c - 'A' + 10;
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        return -1;
    };
    if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
    const int high = digit(text[3]), low = digit(text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace elver
