// SentencePiece's BPE: the text with U+2581 for spaces is split into characters; the neighbours whose joined token has the highest
// score join first, leftmost among equals; a character that is no token becomes its bytes. Source: sentencepiece, bpe_model.cc.
#include <algorithm>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "tokenizer/tokenizer.hpp"

namespace elver {

namespace {

constexpr std::string_view space_mark = "\xe2\x96\x81";

class Spm final : public TextEncoder {
  public:
    Spm(const Vocab& vocab, bool add_space_prefix) : vocab_(vocab), add_space_prefix_(add_space_prefix) {}

    Result<void> encode(std::string_view text, bool at_start, std::vector<int32_t>& out) const override {
        if (text.empty()) return {};
        std::string marked;
        if (add_space_prefix_ && at_start) marked.append(space_mark);
        for (const char c : text) c == ' ' ? void(marked.append(space_mark)) : marked.push_back(c);
        merge(marked, out);
        return {};
    }

    std::string bytes_of(const Token& token) const override {
        std::string_view text = token.text;
        if (token.type == TokenType::byte && text.size() == 6) {
            const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; };
            return std::string(1, static_cast<char>(digit(text[3]) * 16 + digit(text[4])));
        }
        std::string out;
        for (size_t at; (at = text.find(space_mark)) != std::string_view::npos; text.remove_prefix(at + 3)) out.append(text.substr(0, at)).push_back(' ');
        return out.append(text);
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

    void merge(std::string_view text, std::vector<int32_t>& out) const {
        std::vector<Symbol> symbols;
        for (size_t at = 0; at < text.size();) {
            const auto n = static_cast<size_t>(decode_utf8(text.substr(at)).n_bytes);
            const int i = static_cast<int>(symbols.size());
            symbols.push_back({at, n, i - 1, i + 1});
            at += n;
        }
        symbols.back().next = -1;
        std::vector<Candidate> heap;
        const auto consider = [&](int left) {
            if (left < 0 || symbols[static_cast<size_t>(left)].next < 0) return;
            const Symbol &a = symbols[static_cast<size_t>(left)], &b = symbols[static_cast<size_t>(a.next)];
            const int32_t id = vocab_.find(text.substr(a.begin, a.n_bytes + b.n_bytes));
            if (id < 0) return;
            heap.push_back({vocab_.token(id).score, left, a.n_bytes + b.n_bytes});
            std::push_heap(heap.begin(), heap.end());
        };
        for (size_t i = 0; i < symbols.size(); ++i) consider(static_cast<int>(i));
        while (!heap.empty()) {
            std::pop_heap(heap.begin(), heap.end());
            const Candidate c = heap.back();
            heap.pop_back();
            Symbol& a = symbols[static_cast<size_t>(c.left)];
            if (a.n_bytes == 0 || a.next < 0) continue;
            Symbol& b = symbols[static_cast<size_t>(a.next)];
            if (a.n_bytes + b.n_bytes != c.n_bytes) continue;  // one of them has joined since
            a.n_bytes = c.n_bytes;
            b.n_bytes = 0;
            a.next = b.next;
            if (a.next >= 0) symbols[static_cast<size_t>(a.next)].prev = c.left;
            consider(a.prev);
            consider(c.left);
        }
        for (int i = 0; i >= 0; i = symbols[static_cast<size_t>(i)].next) {
            const Symbol& s = symbols[static_cast<size_t>(i)];
            emit(text.substr(s.begin, s.n_bytes), out);
        }
    }

    void emit(std::string_view piece, std::vector<int32_t>& out) const {
        if (const int32_t id = vocab_.find(piece); id >= 0) {
            out.push_back(id);
            return;
        }
        for (const char c : piece) {
            const int32_t byte = vocab_.byte_token(static_cast<uint8_t>(c));
            if (byte >= 0) out.push_back(byte);
            else if (vocab_.unk) return out.push_back(*vocab_.unk);
        }
    }

    const Vocab& vocab_;
    bool add_space_prefix_;
};

}  // namespace

Result<std::unique_ptr<TextEncoder>> make_spm(const VocabSource& source, const Vocab& vocab) {
    if (source.scores.size() != source.tokens.size()) {
        return Error(Status::bad_file, cat(source.name, ": key \"tokenizer.ggml.scores\": expected ", source.tokens.size(), " scores, one a token, found ", source.scores.size()),
                     "tokenizer.ggml.scores");
    }
    return std::unique_ptr<TextEncoder>(std::make_unique<Spm>(vocab, source.add_space_prefix.value_or(true)));
}

}  // namespace elver
