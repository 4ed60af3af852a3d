// PLaMo 2's tokenizer: of all ways to cut a text into tokens, the one whose scores sum to the most, in whole
// ten-thousandths and found from the end; the longest token wins a tie. A character that no token covers becomes its
// bytes. Source: the model's own tokenization_plamo.py (Preferred Networks).
#include <cmath>
#include <limits>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "tokenizer/text_encoder.hpp"
#include "tokenizer/trie.hpp"

namespace elver {

namespace {

constexpr int64_t unknown_cost = 10'000'000;
constexpr int64_t forbidden_cost = 20'000'000;

class Plamo2 final : public TextEncoder {
  public:
    static Result<std::unique_ptr<TextEncoder>> make(const VocabSource& source, const Vocab& vocab) {
        auto out = std::make_unique<Plamo2>();
        std::vector<std::pair<std::string_view, int32_t>> entries;
        for (int32_t id = 0; id < vocab.size(); ++id) {
            const Token& token = vocab.token(id);
            out->costs_.push_back(forbidden_cost);
            if (token.type == TokenType::byte) continue;
            const double cost = -std::round(static_cast<double>(token.score) * 1e4);
            if (!(std::fabs(cost) < static_cast<double>(forbidden_cost))) continue;
            out->costs_.back() = static_cast<int64_t>(cost);
            if (token.type == TokenType::normal) entries.emplace_back(token.text, id);
        }
        out->trie_ = ByteTrie(std::move(entries));
        for (unsigned b = 0; b < 256; ++b) {
            out->byte_ids_[b] = vocab.byte_token(static_cast<uint8_t>(b));
            if (out->byte_ids_[b] < 0) {
                return vocab_error(source, "tokens", cat("expected a token for each byte, found none for byte ", b));
            }
        }
        return std::unique_ptr<TextEncoder>(std::move(out));
    }

    Result<void> encode(std::string_view text, std::vector<int32_t>& out) const override {
        if (text.substr(0, 3) == "\xef\xbb\xbf") text.remove_prefix(3);  // a byte order mark
        struct Best {
            int64_t cost = std::numeric_limits<int64_t>::max();
            size_t length = 1;
            int32_t id = -1;  // -1: bytes
        };
        std::vector<Best> best(text.size() + 1);
        best.back().cost = 0;
        for (size_t at = text.size(); at-- > 0;) {
            if ((static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) continue;
            Best& b = best[at];
            trie_.prefixes(text.substr(at), [&](size_t length, int32_t id) {
                const int64_t cost = best[at + length].cost + costs_[static_cast<size_t>(id)];
                if (cost <= b.cost) b = {cost, length, id};
            });
            const auto n_char = static_cast<size_t>(decode_utf8(text.substr(at)).n_bytes);
            const int64_t cost = best[at + n_char].cost + unknown_cost;
            if (cost < b.cost) b = {cost, n_char, -1};
        }
        for (size_t at = 0; at < text.size(); at += best[at].length) {
            if (best[at].id >= 0) {
                out.push_back(best[at].id);
                continue;
            }
            for (const char c : text.substr(at, best[at].length)) out.push_back(byte_ids_[static_cast<uint8_t>(c)]);
        }
        return {};
    }

    std::string bytes_of(const Token& token) const override {
        const int byte = token.type == TokenType::byte ? byte_of_spelling(token.text) : -1;
        return byte >= 0 ? std::string(1, static_cast<char>(byte)) : std::string(token.text);
    }
    EncoderDefaults defaults() const noexcept override { return {.add_bos = true}; }

  private:
    ByteTrie trie_;
    std::vector<int64_t> costs_;  // [n_vocab]
    int32_t byte_ids_[256];
};

}  // namespace

Result<std::unique_ptr<TextEncoder>> make_plamo2(const VocabSource& source, const Vocab& vocab) {
    if (source.scores.empty()) {
        return vocab_error(source, "scores", cat("expected ", source.tokens.size(), ", one a token, found none"));
    }
    return Plamo2::make(source, vocab);
}

}  // namespace elver
