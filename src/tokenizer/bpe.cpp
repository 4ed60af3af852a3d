// Byte pair encoding: words are split into symbols, and the pair with the lowest merge rank joins first, leftmost among
// equals. Byte-level vocabularies (GPT-2, Radford et al. 2019) spell each byte as a printable character; others are
// plain UTF-8 with <0xXX> for the bytes of a character that is no token. Where words begin and end is the
// pre-tokenizer's business.
#include <algorithm>
#include <array>
#include <functional>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "tokenizer/merges.hpp"
#include "tokenizer/pre_tokenizer.hpp"
#include "tokenizer/text_encoder.hpp"
#include "tokenizer/unicode.hpp"

namespace elver {

namespace {

// GPT-2's spelling of bytes: printable Latin-1 as itself, the rest from U+0100 on in order.
struct ByteAlphabet {
    std::array<char32_t, 256> to_char{};
    std::array<int16_t, 512> to_byte{};

    constexpr ByteAlphabet() {
        to_byte.fill(-1);
        char32_t next = 256;
        for (unsigned b = 0; b < 256; ++b) {
            const bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
            to_char[b] = printable ? static_cast<char32_t>(b) : next++;
            to_byte[to_char[b]] = static_cast<int16_t>(b);
        }
    }
};

constexpr ByteAlphabet alphabet;

// The symbols of a word, joined step by step. Kept from word to word for its memory.
class Joiner {
  public:
    void clear() { symbols_.clear(); }
    void add(int32_t id) {
        const int at = static_cast<int>(symbols_.size());
        symbols_.push_back({id, at - 1, at + 1});
    }

    void join(const MergeTable& merges) {
        if (symbols_.empty()) return;
        symbols_.back().next = -1;
        heap_.clear();
        for (size_t i = 0; i + 1 < symbols_.size(); ++i) consider(merges, static_cast<int>(i));
        while (!heap_.empty()) {
            std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
            const Candidate c = heap_.back();
            heap_.pop_back();
            Symbol& left = at(c.left);
            if (left.id != c.left_id || left.next < 0 || at(left.next).id != c.right_id) continue;  // joined since
            Symbol& right = at(left.next);
            left.id = c.joined_id;
            left.next = right.next;
            right.id = -1;
            if (left.next >= 0) at(left.next).prev = c.left;
            if (left.prev >= 0) consider(merges, left.prev);
            consider(merges, c.left);
        }
    }

    void emit(std::vector<int32_t>& out) const {
        for (int i = symbols_.empty() ? -1 : 0; i >= 0; i = symbols_[static_cast<size_t>(i)].next) {
            out.push_back(symbols_[static_cast<size_t>(i)].id);
        }
    }

  private:
    struct Symbol {
        int32_t id;  // -1: joined into the one before
        int prev, next;
    };
    struct Candidate {
        uint32_t rank;
        int left;
        int32_t left_id, right_id, joined_id;
        bool operator>(const Candidate& o) const noexcept { return rank != o.rank ? rank > o.rank : left > o.left; }
    };

    Symbol& at(int i) noexcept { return symbols_[static_cast<size_t>(i)]; }

    void consider(const MergeTable& merges, int left) {
        const int right = at(left).next;
        if (right < 0) return;
        const Merge* merge = merges.find(at(left).id, at(right).id);
        if (merge == nullptr) return;
        heap_.push_back({merge->rank, left, at(left).id, at(right).id, merge->id});
        std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    }

    std::vector<Symbol> symbols_;
    std::vector<Candidate> heap_;
};

class Bpe final : public TextEncoder {
  public:
    Bpe(const Vocab& vocab, PreTokenizer pre, const PreTokenizerRule& rule, bool lower)
        : vocab_(vocab), pre_(std::move(pre)), rule_(rule), lower_(lower) {
        for (unsigned b = 0; b < 256; ++b) {
            byte_ids_[b] = byte_level() ? vocab.find_plain(spelling_of(static_cast<uint8_t>(b)))
                                        : vocab.byte_token(static_cast<uint8_t>(b));
        }
    }

    Result<void> add_merges(const VocabSource& source);
    Result<void> add_merges_by_id(const VocabSource& source);

    Result<void> encode(std::string_view text, std::vector<int32_t>& out) const override {
        std::string changed;
        if (rule_.nfc) text = changed = to_nfc(text);
        if (lower_) text = changed = to_lower(text);
        if (rule_.spelling == Spelling::marked) text = changed = replace_all(text, " ", space_mark);
        const auto words = pre_.split(text);
        if (!words) return words.error();
        Joiner joiner;
        std::string spelled;
        for (const std::string_view word : *words) {
            if (rule_.drops_white_space && leading_white_space(word) > 0) continue;
            if (const int32_t whole = whole_word(word, spelled); whole >= 0) {
                out.push_back(whole);
                continue;
            }
            joiner.clear();
            add_symbols(word, joiner);
            joiner.join(merges_);
            joiner.emit(out);
        }
        return {};
    }

    std::string bytes_of(const Token& token) const override {
        std::string_view text = token.text;
        if (token.type == TokenType::user_defined || token.type == TokenType::marker) return std::string(text);
        if (!byte_level()) {
            const int byte = token.type == TokenType::byte ? byte_of_spelling(text) : -1;
            if (byte >= 0) return std::string(1, static_cast<char>(byte));
            return rule_.spelling == Spelling::marked ? replace_all(text, space_mark, " ") : std::string(text);
        }
        std::string out;
        while (!text.empty()) {
            const DecodedChar c = decode_utf8(text);
            const int byte = c.code_point < 512 ? alphabet.to_byte[c.code_point] : -1;
            if (byte >= 0)
                out.push_back(static_cast<char>(byte));
            else
                out.append(text.substr(0, static_cast<size_t>(c.n_bytes)));  // a token that is spelled as it is
            text.remove_prefix(static_cast<size_t>(c.n_bytes));
        }
        return out;
    }

    EncoderDefaults defaults() const noexcept override {
        return {.add_bos = rule_.add_bos, .mask_eats_space_before = rule_.mask_eats_space_before};
    }

  private:
    bool byte_level() const noexcept { return rule_.spelling == Spelling::byte_level; }

    static std::string spelling_of(uint8_t byte) {
        std::string out;
        append_utf8(out, alphabet.to_char[byte]);
        return out;
    }

    // The token that a whole word is, where the family looks for it before it merges; or -1.
    int32_t whole_word(std::string_view word, std::string& spelled) const {
        if (word.size() > vocab_.longest_token()) return -1;
        if (rule_.whole_newlines && word.find_first_not_of('\n') == std::string_view::npos)
            return vocab_.find_plain(word);
        if (!rule_.ignore_merges) return -1;
        if (!byte_level()) return vocab_.find_plain(word);
        spelled.clear();
        for (const char c : word) append_utf8(spelled, alphabet.to_char[static_cast<uint8_t>(c)]);
        return vocab_.find_plain(spelled);
    }

    // A byte that is no token is left out when bytes are spelled by characters (the reference does so: no such model
    // was trained with an unknown token); otherwise a character whose bytes are not all tokens is the unknown token.
    void add_symbols(std::string_view word, Joiner& joiner) const {
        if (byte_level()) {
            for (const char c : word) {
                if (const int32_t id = byte_ids_[static_cast<uint8_t>(c)]; id >= 0) joiner.add(id);
            }
            return;
        }
        bool after_unknown = false;
        while (!word.empty()) {
            const std::string_view c = word.substr(0, static_cast<size_t>(decode_utf8(word).n_bytes));
            word.remove_prefix(c.size());
            const int32_t id = vocab_.find_plain(c);
            const auto has_token = [&](char byte) { return byte_ids_[static_cast<uint8_t>(byte)] >= 0; };
            const bool known = id >= 0 || std::all_of(c.begin(), c.end(), has_token);
            if (id >= 0) {
                joiner.add(id);
            } else if (known) {
                for (const char byte : c) joiner.add(byte_ids_[static_cast<uint8_t>(byte)]);
            } else if (vocab_.unk && !after_unknown) {
                joiner.add(*vocab_.unk);
            }
            after_unknown = !known;
        }
    }

    const Vocab& vocab_;
    PreTokenizer pre_;
    const PreTokenizerRule& rule_;
    bool lower_;
    std::array<int32_t, 256> byte_ids_{};
    MergeTable merges_;
};

Error collision(const VocabSource& source) {
    return vocab_error(source, "merges", "pairs that collide in a table");
}

Result<void> Bpe::add_merges(const VocabSource& source) {
    merges_ = MergeTable(source.merges.size());
    std::string joined;
    for (size_t rank = 0; rank < source.merges.size(); ++rank) {
        const std::string_view merge = source.merges[rank];
        const size_t space = merge.find(' ', 1);  // the left part may itself begin with a space
        if (space == std::string_view::npos || space + 1 == merge.size()) {
            return vocab_error(
                source, "merges",
                cat("merge ", rank, ": expected two parts with a space between, found ", in_quotes(merge)));
        }
        const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
        joined.assign(left).append(right);
        const int32_t ids[] = {vocab_.find(left), vocab_.find(right), vocab_.find(joined)};
        const std::string_view parts[] = {left, right, joined};
        for (size_t i = 0; i < 3; ++i) {
            if (ids[i] >= 0) continue;
            return vocab_error(source, "merges",
                               cat("merge ", rank, " (", in_quotes(merge), "): expected tokens, found ",
                                   in_quotes(parts[i]), ", which is none"));
        }
        if (steers(vocab_.token(ids[2]).type)) continue;
        if (!merges_.add(ids[0], ids[1], {static_cast<uint32_t>(rank), ids[2]})) return collision(source);
    }
    return {};
}

// Every way to cut a token into two tokens is a merge of the token's rank, which is its id.
Result<void> Bpe::add_merges_by_id(const VocabSource& source) {
    struct Pair {
        int32_t left, right, joined;
    };
    std::vector<Pair> pairs;
    for (int32_t id = 0; id < vocab_.size(); ++id) {
        const Token& token = vocab_.token(id);
        if (token.type != TokenType::normal || token.text.size() > 1024 || vocab_.find(token.text) != id) continue;
        for (size_t at = 1; at < token.text.size(); ++at) {
            if ((static_cast<unsigned char>(token.text[at]) & 0xc0) == 0x80) continue;
            const int32_t left = vocab_.find_plain(token.text.substr(0, at));
            const int32_t right = left < 0 ? -1 : vocab_.find_plain(token.text.substr(at));
            if (right >= 0) pairs.push_back({left, right, id});
        }
    }
    merges_ = MergeTable(pairs.size());
    for (const Pair& p : pairs) {
        if (!merges_.add(p.left, p.right, {static_cast<uint32_t>(p.joined), p.joined})) return collision(source);
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<TextEncoder>> make_bpe(const VocabSource& source, const Vocab& vocab) {
    const auto rule = pre_tokenizer_of(source);
    if (!rule) return rule.error();
    auto pre = PreTokenizer::make(**rule);
    if (!pre) return std::move(pre).error();
    const bool lower = (*rule)->drops_white_space && source.lowercase.value_or(false);
    auto bpe = std::make_unique<Bpe>(vocab, *std::move(pre), **rule, lower);
    const bool by_id = source.merges.empty() && (*rule)->ranks_by_id;
    auto added = by_id ? bpe->add_merges_by_id(source) : bpe->add_merges(source);
    if (!added) return std::move(added).error();
    return std::unique_ptr<TextEncoder>(std::move(bpe));
}

}  // namespace elver
