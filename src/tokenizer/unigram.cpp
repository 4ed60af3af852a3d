// The unigram language model: of all ways to cut a normalised text into tokens, the one whose scores (log
// probabilities) sum to the most, found in one pass (Viterbi). Source: Kudo 2018; sentencepiece, unigram_model.cc,
// whose float rounding is kept.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "tokenizer/charsmap.hpp"
#include "tokenizer/text_encoder.hpp"
#include "tokenizer/trie.hpp"
#include "tokenizer/unicode.hpp"

namespace elver {

namespace {

// What an unknown character scores below the least likely token.
constexpr float unknown_penalty = 10.0f;

class Unigram final : public TextEncoder {
  public:
    Unigram(const Vocab& vocab, SpmNormaliser normaliser) : vocab_(vocab), normaliser_(std::move(normaliser)) {
        std::vector<std::pair<std::string_view, int32_t>> entries;
        float least = std::numeric_limits<float>::max();
        for (int32_t id = 0; id < vocab.size(); ++id) {
            const Token& token = vocab.token(id);
            const bool normal = token.type == TokenType::normal;
            if (normal) least = std::min(least, token.score);
            if (normal || token.type == TokenType::user_defined) entries.emplace_back(token.text, id);
        }
        unknown_score_ = least - unknown_penalty;
        trie_ = ByteTrie(std::move(entries));
        for (unsigned b = 0; b < 256; ++b) {
            byte_ids_[b] = vocab.byte_token(static_cast<uint8_t>(b));
            has_bytes_ = has_bytes_ && byte_ids_[b] >= 0;
        }
    }

    Result<void> encode(std::string_view raw, std::vector<int32_t>& out) const override {
        const std::string text = normaliser_.normalise(raw);
        Lattice lattice{text, std::vector<Best>(text.size() + 1)};
        for (size_t at = 0; at < text.size();) at += extend(lattice, at);
        const std::vector<Best>& best = lattice.best;
        std::vector<Piece> pieces;
        for (size_t end = text.size(); end > 0; end = best[end].begin) {
            pieces.push_back({best[end].begin, end, best[end].id});
        }
        std::reverse(pieces.begin(), pieces.end());
        bool after_unknown = false;
        for (const Piece& piece : pieces) {
            const bool unknown = piece.id < 0;
            if (!unknown) {
                out.push_back(piece.id);
            } else if (has_bytes_) {
                for (size_t i = piece.begin; i < piece.end; ++i)
                    out.push_back(byte_ids_[static_cast<uint8_t>(text[i])]);
            } else if (vocab_.unk && !after_unknown) {
                out.push_back(*vocab_.unk);
            }
            after_unknown = unknown;
        }
        return {};
    }

    std::string bytes_of(const Token& token) const override {
        const int byte = token.type == TokenType::byte ? byte_of_spelling(token.text) : -1;
        if (byte >= 0) return std::string(1, static_cast<char>(byte));
        return replace_all(token.text, space_mark, " ");
    }

    EncoderDefaults defaults() const noexcept override {
        return {.add_eos = true, .space_before = normaliser_.adds_space(), .mask_eats_space_before = true};
    }

  private:
    static constexpr size_t unset = std::numeric_limits<size_t>::max();
    struct Best {  // of the ways to reach a byte
        float score = 0;
        int32_t id = -1;  // -1: an unknown character
        size_t begin = unset;
    };
    struct Piece {
        size_t begin, end;
        int32_t id;
    };

    // A text on its way.
    struct Lattice {
        std::string_view text;
        std::vector<Best> best;  // [bytes + 1]
        size_t frontier = 0;     // the furthest byte that is reached
    };

    // Offers every token that starts at a byte; returns the bytes of the character there.
    size_t extend(Lattice& lattice, size_t at) const {
        rebase(lattice, at);
        const float so_far = lattice.best[at].score;
        const auto n_char = static_cast<size_t>(decode_utf8(lattice.text.substr(at)).n_bytes);
        const auto offer = [&](size_t end, int32_t id, float score) {
            Best& b = lattice.best[end];
            lattice.frontier = std::max(lattice.frontier, end);
            const float sum = so_far + score;
            if (b.begin == unset || sum > b.score) b = {sum, id, at};
        };
        bool covered = false;
        trie_.prefixes(lattice.text.substr(at), [&](size_t length, int32_t id) {
            const Token& token = vocab_.token(id);
            const bool user = token.type == TokenType::user_defined;  // rewarded so that it always wins
            offer(at + length, id, user ? static_cast<float>(0.1 * static_cast<double>(length - 1)) : token.score);
            covered = covered || length == n_char;
        });
        if (!covered) offer(at + n_char, -1, unknown_score_);
        return n_char;
    }

    // Long texts sum to scores whose rounding would drown the differences: sums start again from zero.
    static void rebase(Lattice& lattice, size_t at) {
        const float offset = lattice.best[at].score;
        if (!(std::fabs(offset) > 100'000.0f)) return;
        for (size_t i = at; i <= lattice.frontier; ++i) {
            if (i == at || lattice.best[i].begin != unset) lattice.best[i].score -= offset;
        }
    }

    const Vocab& vocab_;
    SpmNormaliser normaliser_;
    ByteTrie trie_;
    float unknown_score_ = 0;
    int32_t byte_ids_[256];
    bool has_bytes_ = true;  // one for each byte
};

}  // namespace

Result<std::unique_ptr<TextEncoder>> make_unigram(const VocabSource& source, const Vocab& vocab) {
    if (source.scores.empty()) {
        return vocab_error(source, "scores", cat("expected ", source.tokens.size(), ", one a token, found none"));
    }
    auto normaliser = SpmNormaliser::make(source, {.add_space = true, .remove_extra = true});
    if (!normaliser) return std::move(normaliser).error();
    return std::unique_ptr<TextEncoder>(std::make_unique<Unigram>(vocab, *std::move(normaliser)));
}

}  // namespace elver
