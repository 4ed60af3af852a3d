// How a family of vocabularies splits plain text into ids: one interface, one maker a family, and the table of families
// by tokenizer.ggml.model.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "tokenizer/vocab.hpp"

namespace elver {

// What holds for a family where the file does not say.
struct EncoderDefaults {
    bool add_bos = false;
    bool add_eos = false;
    bool always_framed = false;  // CLS before and SEP behind, whatever the file's flags say
    bool space_before = false;   // a text is encoded as if a space stood before it; decoding takes it off again
    bool mask_eats_space_before = false;  // the mask token takes the white space to its left
};

class TextEncoder {
  public:
    virtual ~TextEncoder() = default;
    // Appends the ids of text, which is valid UTF-8, holds no special token and has nothing or a special token on
    // either side. Any thread.
    virtual Result<void> encode(std::string_view text, std::vector<int32_t>& out) const = 0;
    // The bytes that a token which is not control stands for.
    virtual std::string bytes_of(const Token& token) const = 0;
    virtual EncoderDefaults defaults() const noexcept = 0;
};

// A maker checks what its family needs of the vocabulary, which outlives the encoder.
using MakeEncoder = Result<std::unique_ptr<TextEncoder>>(const VocabSource& source, const Vocab& vocab);
MakeEncoder make_bpe, make_spm, make_unigram, make_wordpiece, make_rwkv, make_plamo2, make_textless;

struct Family {
    const char* model;  // tokenizer.ggml.model
    MakeEncoder* make;
    // Ids where the file gives none, as the family's reference tokenizers have them; −1: none. Taken only if in range.
    int32_t bos = -1, eos = -1, unk = -1, sep = -1, pad = -1, cls = -1, mask = -1;
};
// An error names the key and the families there are.
Result<const Family*> family_of(const VocabSource& source);

// The byte of a token spelled <0xXX>, or −1.
int byte_of_spelling(std::string_view text) noexcept;

}  // namespace elver
