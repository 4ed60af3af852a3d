// The RWKV World vocabulary: from the left, the longest token that the bytes begin with. Files spell tokens as Python
// writes bytes: \n, \t, \r, \\, \', \xNN.
#include "base/text.hpp"
#include "tokenizer/text_encoder.hpp"
#include "tokenizer/trie.hpp"

namespace elver {

namespace {

int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// What is not a whole escape stands for itself.
std::string unescape(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\' || i + 1 == text.size()) {
            out.push_back(text[i]);
            continue;
        }
        const char c = text[++i];
        const int high = c == 'x' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
        const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
        if (low >= 0) {
            out.push_back(static_cast<char>(high * 16 + low));
            i += 2;
        } else {
            out.push_back(c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c);
        }
    }
    return out;
}

class Rwkv final : public TextEncoder {
  public:
    explicit Rwkv(const Vocab& vocab) : unk_(vocab.unk) {
        std::vector<std::string> texts;
        std::vector<std::pair<std::string_view, int32_t>> entries;
        texts.reserve(static_cast<size_t>(vocab.size()));
        for (int32_t id = 0; id < vocab.size(); ++id) {
            if (vocab.token(id).type != TokenType::normal) continue;
            entries.emplace_back(texts.emplace_back(unescape(vocab.token(id).text)), id);
        }
        trie_ = ByteTrie(std::move(entries));
    }

    Result<void> encode(std::string_view text, std::vector<int32_t>& out) const override {
        for (size_t at = 0; at < text.size();) {
            size_t longest = 0;
            int32_t id = -1;
            trie_.prefixes(text.substr(at), [&](size_t length, int32_t found) { longest = length, id = found; });
            if (longest == 0) {
                if (!unk_) {
                    return Error(Status::unsupported,
                                 cat("text: byte ", at, " (", in_quotes(text.substr(at, 1)), ") begins no token"),
                                 "text");
                }
                longest = 1;
                id = *unk_;
            }
            out.push_back(id);
            at += longest;
        }
        return {};
    }

    std::string bytes_of(const Token& token) const override {
        return token.type == TokenType::normal ? unescape(token.text) : std::string(token.text);
    }
    EncoderDefaults defaults() const noexcept override { return {}; }

  private:
    ByteTrie trie_;
    std::optional<int32_t> unk_;
};

}  // namespace

Result<std::unique_ptr<TextEncoder>> make_rwkv(const VocabSource&, const Vocab& vocab) {
    return std::unique_ptr<TextEncoder>(std::make_unique<Rwkv>(vocab));
}

}  // namespace elver
