// Byte pair encoding: words are split into symbols, and the pair with the lowest merge rank joins first, leftmost among equals.
// Byte-level vocabularies (GPT-2, Radford et al. 2019) spell each byte as a printable character; raw ones (Gemma 4) are plain
// UTF-8 with U+2581 for spaces and <0xXX> for bytes that are no token.
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "tokenizer/pre_tokenizer.hpp"
#include "tokenizer/tokenizer.hpp"

namespace elver {

namespace {

// GPT-2's spelling of bytes: printable Latin-1 as itself, the rest from U+0100 on in order.
struct ByteAlphabet {
    std::array<char32_t, 256> to_char{};
    std::array<int16_t, 512> to_byte{};

    ByteAlphabet() {
        to_byte.fill(-1);
        char32_t next = 256;
        for (unsigned b = 0; b < 256; ++b) {
            const bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
            to_char[b] = printable ? b : next++;
            to_byte[to_char[b]] = static_cast<int16_t>(b);
        }
    }
};

const ByteAlphabet& alphabet() {
    static const ByteAlphabet a;
    return a;
}

struct Merge {
    uint32_t rank;
    int32_t id;  // of the joined token
};

uint64_t pair_key(int32_t left, int32_t right) { return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right); }

class Bpe final : public TextEncoder {
  public:
    Bpe(const Vocab& vocab, PreTokenizer pre, const PreTokenizerRule& rule, bool raw) : vocab_(vocab), pre_(std::move(pre)), rule_(rule), raw_(raw) {
        for (unsigned b = 0; b < 256; ++b) {
            std::string spelled;
            append_utf8(spelled, alphabet().to_char[b]);
            byte_ids_[b] = raw ? vocab.byte_token(static_cast<uint8_t>(b)) : vocab.find(spelled);
        }
    }

    Result<void> add_merges(const VocabSource& source) {
        merges_.reserve(source.merges.size());
        for (size_t rank = 0; rank < source.merges.size(); ++rank) {
            const std::string_view merge = source.merges[rank];
            const size_t space = merge.find(' ', 1);  // the left part may itself be a space
            if (space == std::string_view::npos || space + 1 == merge.size()) {
                return Error(Status::bad_file, cat(source.name, ": key \"tokenizer.ggml.merges\": merge ", rank, ": expected two parts, found ", quoted(merge)), "tokenizer.ggml.merges");
            }
            const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
            joined_.assign(left).append(right);
            const int32_t a = vocab_.find(left), b = vocab_.find(right), ab = vocab_.find(joined_);
            // A merge of or into something that is no token can never happen.
            if (a >= 0 && b >= 0 && ab >= 0) merges_.emplace(pair_key(a, b), Merge{static_cast<uint32_t>(rank), ab});
        }
        return {};
    }

    Result<void> encode(std::string_view text, bool, std::vector<int32_t>& out) const override {
        std::string normalised;
        if (rule_.nfc) {
            utf8proc_uint8_t* composed = nullptr;
            const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
            const auto n = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()), &composed, options);
            if (n >= 0) normalised.assign(reinterpret_cast<const char*>(composed), static_cast<size_t>(n));
            std::free(composed);
            if (n >= 0) text = normalised;
        }
        std::string spaced;
        if (raw_) {
            for (const char c : text) c == ' ' ? void(spaced.append("\xe2\x96\x81")) : spaced.push_back(c);
            text = spaced;
        }
        const auto words = pre_.split(text);
        if (!words) return words.error();
        Work work;
        for (const std::string_view word : *words) encode_word(word, work, out);
        return {};
    }

    std::string bytes_of(const Token& token) const override {
        std::string out;
        std::string_view text = token.text;
        if (raw_) {
            for (size_t at; (at = text.find("\xe2\x96\x81")) != std::string_view::npos; text.remove_prefix(at + 3)) out.append(text.substr(0, at)).push_back(' ');
            return out.append(text);
        }
        while (!text.empty()) {
            const DecodedChar c = decode_utf8(text);
            const int byte = c.valid && c.code_point < 512 ? alphabet().to_byte[c.code_point] : -1;
            if (byte >= 0) out.push_back(static_cast<char>(byte));
            else out.append(text.substr(0, static_cast<size_t>(c.n_bytes)));
            text.remove_prefix(static_cast<size_t>(c.n_bytes));
        }
        return out;
    }

  private:
    struct Symbol {
        int32_t id;
        int prev, next;
    };
    struct Candidate {
        uint32_t rank;
        int left;
        int32_t left_id, right_id;
        bool operator>(const Candidate& o) const noexcept { return rank != o.rank ? rank > o.rank : left > o.left; }
    };
    struct Work {  // kept from word to word
        std::vector<Symbol> symbols;
        std::vector<Candidate> heap;
        std::string spelled;
    };

    void start_symbols(std::string_view word, Work& w) const {
        w.symbols.clear();
        const auto add = [&](int32_t id) {
            if (id < 0) id = vocab_.unk.value_or(-1);
            if (id < 0) return;
            const int at = static_cast<int>(w.symbols.size());
            w.symbols.push_back({id, at - 1, at + 1});
        };
        if (!raw_) {
            for (const char c : word) add(byte_ids_[static_cast<uint8_t>(c)]);
        } else {
            while (!word.empty()) {
                const auto n = static_cast<size_t>(decode_utf8(word).n_bytes);
                const int32_t id = vocab_.find(word.substr(0, n));
                if (id >= 0) add(id);
                else for (size_t i = 0; i < n; ++i) add(byte_ids_[static_cast<uint8_t>(word[i])]);
                word.remove_prefix(n);
            }
        }
        if (!w.symbols.empty()) w.symbols.back().next = -1;
    }

    void encode_word(std::string_view word, Work& w, std::vector<int32_t>& out) const {
        if (rule_.ignore_merges || raw_) {
            w.spelled.clear();
            if (raw_) w.spelled = word;
            else for (const char c : word) append_utf8(w.spelled, alphabet().to_char[static_cast<uint8_t>(c)]);
            const int32_t whole = !raw_ || word[0] == '\n' ? vocab_.find(w.spelled) : -1;
            if (whole >= 0) {
                out.push_back(whole);
                return;
            }
        }
        start_symbols(word, w);
        const auto consider = [&](int left) {
            if (left < 0) return;
            const int right = w.symbols[static_cast<size_t>(left)].next;
            if (right < 0) return;
            const int32_t a = w.symbols[static_cast<size_t>(left)].id, b = w.symbols[static_cast<size_t>(right)].id;
            const auto merge = merges_.find(pair_key(a, b));
            if (merge == merges_.end()) return;
            w.heap.push_back({merge->second.rank, left, a, b});
            std::push_heap(w.heap.begin(), w.heap.end(), std::greater<>());
        };
        w.heap.clear();
        for (size_t i = 0; i < w.symbols.size(); ++i) consider(static_cast<int>(i));
        while (!w.heap.empty()) {
            std::pop_heap(w.heap.begin(), w.heap.end(), std::greater<>());
            const Candidate c = w.heap.back();
            w.heap.pop_back();
            Symbol& left = w.symbols[static_cast<size_t>(c.left)];
            if (left.id != c.left_id || left.next < 0 || w.symbols[static_cast<size_t>(left.next)].id != c.right_id) continue;  // joined since
            Symbol& right = w.symbols[static_cast<size_t>(left.next)];
            left.id = merges_.find(pair_key(c.left_id, c.right_id))->second.id;
            left.next = right.next;
            right.id = -1;
            if (left.next >= 0) w.symbols[static_cast<size_t>(left.next)].prev = c.left;
            consider(left.prev);
            consider(c.left);
        }
        for (int i = w.symbols.empty() ? -1 : 0; i >= 0; i = w.symbols[static_cast<size_t>(i)].next) out.push_back(w.symbols[static_cast<size_t>(i)].id);
    }

    const Vocab& vocab_;
    PreTokenizer pre_;
    PreTokenizerRule rule_;
    bool raw_;
    std::array<int32_t, 256> byte_ids_{};
    std::unordered_map<uint64_t, Merge> merges_;
    std::string joined_;
};

}  // namespace

Result<std::unique_ptr<TextEncoder>> make_bpe(const VocabSource& source, const Vocab& vocab) {
    const bool raw = source.model == "gemma4";
    std::string name = source.pre.empty() ? (source.architecture == "gptneox" ? "gpt-neox" : raw ? "gemma4" : "gpt-2") : source.pre;
    const PreTokenizerRule* rule = find_pre_tokenizer(name);
    if (rule == nullptr) {
        return Error(Status::unsupported, cat(source.name, ": key \"tokenizer.ggml.pre\": the pre-tokenizer ", quoted(name), " is not supported"), "tokenizer.ggml.pre");
    }
    auto pre = PreTokenizer::make(*rule);
    if (!pre) return std::move(pre).error();
    auto bpe = std::make_unique<Bpe>(vocab, *std::move(pre), *rule, raw);
    if (auto added = bpe->add_merges(source); !added) return std::move(added).error();
    return std::unique_ptr<TextEncoder>(std::move(bpe));
}

}  // namespace elver
