// SentencePiece's BPE: the text with U+2581 for spaces is split into characters; the neighbours whose joined token has
// the highest score join first, leftmost among equals; a character that is no token becomes its bytes, or the unknown
// token. Source: sentencepiece, bpe_model.cc (Kudo and Richardson 2018).
#include <algorithm>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "tokenizer/charsmap.hpp"
#include "tokenizer/text_encoder.hpp"
#include "tokenizer/unicode.hpp"

namespace elver {

namespace {

class Spm final : public TextEncoder {
  public:
    Spm(const Vocab& vocab, SpmNormaliser normaliser) : vocab_(vocab), normaliser_(std::move(normaliser)) {
        for (unsigned b = 0; b < 256; ++b) {
            byte_ids_[b] = vocab.byte_token(static_cast<uint8_t>(b));
            has_bytes_ = has_bytes_ && byte_ids_[b] >= 0;
        }
    }

    Result<void> encode(std::string_view text, std::vector<int32_t>& out) const override {
        const std::string marked = normaliser_.normalise(text);
        if (!marked.empty()) merge(marked, out);
        return {};
    }

    std::string bytes_of(const Token& token) const override {
        const int byte = token.type == TokenType::byte ? byte_of_spelling(token.text) : -1;
        if (byte >= 0) return std::string(1, static_cast<char>(byte));
        return replace_all(token.text, space_mark, " ");
    }

    EncoderDefaults defaults() const noexcept override {
        return {.add_bos = true, .space_before = normaliser_.adds_space()};
    }

  private:
    struct Symbol {
        size_t begin, n_bytes;  // 0 bytes: joined into another
        int prev, next;
    };
    struct Candidate {
        float score;
        int left;
        size_t n_bytes;
        bool operator<(const Candidate& o) const noexcept { return score != o.score ? score < o.score : left > o.left; }
    };
    // A text on its way through the merges.
    struct Work {
        std::string_view text;
        std::vector<Symbol> symbols;
        std::vector<Candidate> heap;
        Symbol& at(int i) noexcept { return symbols[static_cast<size_t>(i)]; }
    };

    void consider(Work& w, int left) const {
        if (left < 0 || w.at(left).next < 0) return;
        const Symbol &a = w.at(left), &b = w.at(w.at(left).next);
        const size_t n_bytes = a.n_bytes + b.n_bytes;
        if (n_bytes > vocab_.longest_token()) return;
        const int32_t id = vocab_.find_plain(w.text.substr(a.begin, n_bytes));
        if (id < 0) return;
        w.heap.push_back({vocab_.token(id).score, left, n_bytes});
        std::push_heap(w.heap.begin(), w.heap.end());
    }

    void merge(std::string_view text, std::vector<int32_t>& out) const {
        Work w{text, {}, {}};
        for (size_t begin = 0; begin < text.size();) {
            const auto n = static_cast<size_t>(decode_utf8(text.substr(begin)).n_bytes);
            const int i = static_cast<int>(w.symbols.size());
            w.symbols.push_back({begin, n, i - 1, i + 1});
            begin += n;
        }
        w.symbols.back().next = -1;
        for (size_t i = 0; i < w.symbols.size(); ++i) consider(w, static_cast<int>(i));
        while (!w.heap.empty()) {
            std::pop_heap(w.heap.begin(), w.heap.end());
            const Candidate c = w.heap.back();
            w.heap.pop_back();
            Symbol& a = w.at(c.left);
            if (a.n_bytes == 0 || a.next < 0) continue;
            Symbol& b = w.at(a.next);
            if (a.n_bytes + b.n_bytes != c.n_bytes) continue;  // one of them has joined since
            a.n_bytes = c.n_bytes;
            b.n_bytes = 0;
            a.next = b.next;
            if (a.next >= 0) w.at(a.next).prev = c.left;
            consider(w, a.prev);
            consider(w, c.left);
        }
        bool after_unknown = false;
        for (int i = 0; i >= 0; i = w.at(i).next) {
            after_unknown = emit(text.substr(w.at(i).begin, w.at(i).n_bytes), after_unknown, out);
        }
    }

    // True for an unknown piece; a run of them is one unknown token.
    bool emit(std::string_view piece, bool after_unknown, std::vector<int32_t>& out) const {
        const int32_t id = vocab_.find_plain(piece);
        if (id >= 0) {
            out.push_back(id);
            return false;
        }
        if (has_bytes_) {
            for (const char c : piece) out.push_back(byte_ids_[static_cast<uint8_t>(c)]);
            return false;
        }
        if (vocab_.unk && !after_unknown) out.push_back(*vocab_.unk);
        return true;
    }

    const Vocab& vocab_;
    SpmNormaliser normaliser_;
    int32_t byte_ids_[256];
    bool has_bytes_ = true;  // one for each byte
};

}  // namespace

Result<std::unique_ptr<TextEncoder>> make_spm(const VocabSource& source, const Vocab& vocab) {
    if (source.scores.empty()) {
        return vocab_error(source, "scores", cat("expected ", source.tokens.size(), ", one a token, found none"));
    }
    auto normaliser = SpmNormaliser::make(source, {.add_space = true, .remove_extra = false});
    if (!normaliser) return std::move(normaliser).error();
    return std::unique_ptr<TextEncoder>(std::make_unique<Spm>(vocab, *std::move(normaliser)));
}

}  // namespace elver
