// WordPiece (Devlin et al. 2018), as Hugging Face's BertNormalizer, BertPreTokenizer and WordPiece do it: clean, part
// Chinese characters, decompose and strip accents, lower-case, split at white space and punctuation; then the longest
// token from the left, again and again. GGUF spells tokens that begin a word with U+2581 and leaves out the "##" of the
// others.
#include <utf8proc.h>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "tokenizer/text_encoder.hpp"
#include "tokenizer/unicode.hpp"

namespace elver {

namespace {

constexpr size_t longest_word = 100;  // characters; a longer word is unknown

utf8proc_category_t category_of(char32_t c) noexcept {
    return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool is_chinese(char32_t c) noexcept {
    // U+2B820 to U+2B91F are not among them: the reference starts its last range but two at U+2B920.
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
           (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

bool is_punctuation(char32_t c) noexcept {
    if ((c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~'))
        return true;
    const auto category = category_of(c);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

// Control, format, unassigned and private characters go; line breaks and tabs are white space.
bool is_dropped(char32_t c) noexcept {
    if (c == '\t' || c == '\n' || c == '\r') return false;
    if (c == 0 || c == 0xfffd) return true;
    const auto category = category_of(c);
    return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CN ||
           category == UTF8PROC_CATEGORY_CO || category == UTF8PROC_CATEGORY_CS;
}

class WordPiece final : public TextEncoder {
  public:
    WordPiece(const Vocab& vocab, bool lowercase, bool strip_accents)
        : vocab_(vocab), lowercase_(lowercase), strip_accents_(strip_accents) {}

    Result<void> encode(std::string_view text, std::vector<int32_t>& out) const override {
        std::u32string word;
        const auto end_word = [&] {
            if (!word.empty()) encode_word(word, out);
            word.clear();
        };
        const auto characters = normalise(text);
        if (!characters) return characters.error();
        for (const char32_t c : *characters) {
            if (is_white_space(c)) {
                end_word();
            } else if (is_punctuation(c)) {
                end_word();
                word.push_back(c);
                end_word();
            } else {
                word.push_back(c);
            }
        }
        end_word();
        return {};
    }

    std::string bytes_of(const Token& token) const override {
        if (token.text.starts_with(space_mark)) return cat(' ', token.text.substr(space_mark.size()));
        return std::string(token.text);
    }

    EncoderDefaults defaults() const noexcept override {
        return {.add_bos = true, .add_eos = true, .always_framed = true, .space_before = true};
    }

  private:
    Result<std::u32string> normalise(std::string_view text) const {
        std::string clean;
        clean.reserve(text.size());
        while (!text.empty()) {
            const DecodedChar c = decode_utf8(text);
            text.remove_prefix(static_cast<size_t>(c.n_bytes));
            if (is_dropped(c.code_point)) continue;
            const bool apart = is_chinese(c.code_point);
            if (apart) clean.push_back(' ');
            append_utf8(clean, is_white_space(c.code_point) ? U' ' : c.code_point);
            if (apart) clean.push_back(' ');
        }
        const auto bytes = reinterpret_cast<const utf8proc_uint8_t*>(clean.data());
        const auto n_bytes = static_cast<utf8proc_ssize_t>(clean.size());
        const auto options =
            static_cast<utf8proc_option_t>(strip_accents_ ? UTF8PROC_STABLE | UTF8PROC_DECOMPOSE : UTF8PROC_STABLE);
        const auto room = utf8proc_decompose(bytes, n_bytes, nullptr, 0, options);
        std::vector<utf8proc_int32_t> parts(room < 0 ? 0 : static_cast<size_t>(room));
        const auto n = room <= 0 ? room : utf8proc_decompose(bytes, n_bytes, parts.data(), room, options);
        if (n < 0) return Error(Status::unsupported, cat("text: cannot be normalised: ", utf8proc_errmsg(n)), "text");
        std::u32string out;
        out.reserve(parts.size());
        for (const utf8proc_int32_t c : parts) {
            if (strip_accents_ && utf8proc_category(c) == UTF8PROC_CATEGORY_MN) continue;
            out.push_back(static_cast<char32_t>(lowercase_ ? utf8proc_tolower(c) : c));
            if (lowercase_ && c == 0x130) out.push_back(0x307);  // the one lower-case mapping to two characters
        }
        return out;
    }

    // Within a word, a token that GGUF's mark makes one of a beginning does not match a mark in the text.
    int32_t find(std::string_view piece, bool begins) const noexcept {
        const bool marked = piece.starts_with(space_mark) && piece.size() > space_mark.size();
        return begins || !marked ? vocab_.find_plain(piece) : -1;
    }

    void encode_word(const std::u32string& word, std::vector<int32_t>& out) const {
        const size_t start = out.size();
        std::string text(space_mark);
        std::vector<size_t> ends;  // of the characters, in bytes
        if (word.size() > longest_word) return out.push_back(*vocab_.unk);
        for (const char32_t c : word) {
            append_utf8(text, c);
            ends.push_back(text.size());
        }
        for (size_t begin = 0, first = 0; first < ends.size();) {
            int32_t id = -1;
            size_t last = ends.size();
            for (; last > first && id < 0; --last)
                id = find(std::string_view(text).substr(begin, ends[last - 1] - begin), first == 0);
            if (id < 0) {
                out.resize(start);
                return out.push_back(*vocab_.unk);
            }
            out.push_back(id);
            begin = ends[last];
            first = last + 1;
        }
    }

    const Vocab& vocab_;
    bool lowercase_, strip_accents_;
};

}  // namespace

Result<std::unique_ptr<TextEncoder>> make_wordpiece(const VocabSource& source, const Vocab& vocab) {
    if (!vocab.unk) return vocab_error(source, "unknown_token_id", "expected an id, found none");
    const bool lowercase = source.lowercase.value_or(true);
    return std::unique_ptr<TextEncoder>(
        std::make_unique<WordPiece>(vocab, lowercase, source.strip_accents.value_or(lowercase)));
}

}  // namespace elver
