// WordPiece (Devlin et al. 2018, as BERT's reference tokenizer does it): clean, lower-case and strip accents, split at white space,
// punctuation and Chinese characters, then the longest token from the left, again and again; a word that cannot be covered, or of
// over 100 characters, is [UNK]. GGUF spells tokens that begin a word with U+2581 and leaves out "##".
#include <utf8proc.h>

#include <cstdlib>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "tokenizer/tokenizer.hpp"

namespace elver {

namespace {

constexpr std::string_view word_mark = "\xe2\x96\x81";

bool is_chinese(char32_t c) noexcept {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
           (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b820 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

bool is_punctuation(char32_t c) noexcept {
    if ((c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126)) return true;
    const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool is_space(char32_t c) noexcept {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == 0x85) return true;
    const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
    return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

class WordPiece final : public TextEncoder {
  public:
    explicit WordPiece(const Vocab& vocab) : vocab_(vocab) {}

    Result<void> encode(std::string_view text, bool, std::vector<int32_t>& out) const override {
        for (const std::u32string& word : words(text)) encode_word(word, out);
        return {};
    }

    std::string bytes_of(const Token& token) const override {
        std::string_view text = token.text;
        if (text.substr(0, 3) == word_mark) return " " + std::string(text.substr(3));
        return std::string(text);
    }

  private:
    // Decomposed and lower-cased, without accents.
    static std::u32string normalise(std::string_view text) {
        std::u32string out;
        while (!text.empty()) {
            const DecodedChar c = decode_utf8(text);
            text.remove_prefix(static_cast<size_t>(c.n_bytes));
            const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c.code_point));
            const bool control = category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CN ||
                                 category == UTF8PROC_CATEGORY_CO || category == UTF8PROC_CATEGORY_CS;
            if (c.code_point == 0 || c.code_point == 0xfffd || (control && !is_space(c.code_point))) continue;
            utf8proc_int32_t parts[32];
            int boundary = 0;
            const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.code_point), parts, 32, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE), &boundary);
            for (utf8proc_ssize_t i = 0; i < n && i < 32; ++i) {
                if (utf8proc_category(parts[i]) == UTF8PROC_CATEGORY_MN) continue;
                out.push_back(static_cast<char32_t>(utf8proc_tolower(parts[i])));
            }
        }
        return out;
    }

    static std::vector<std::u32string> words(std::string_view text) {
        std::vector<std::u32string> out;
        bool open = false;
        for (const char32_t c : normalise(text)) {
            if (is_space(c)) {
                open = false;
            } else if (is_punctuation(c) || is_chinese(c)) {
                out.emplace_back(1, c);
                open = false;
            } else {
                if (!open) out.emplace_back();
                out.back().push_back(c);
                open = true;
            }
        }
        return out;
    }

    void encode_word(const std::u32string& word, std::vector<int32_t>& out) const {
        const size_t mark = out.size();
        const auto give_up = [&] {
            out.resize(mark);
            if (vocab_.unk) out.push_back(*vocab_.unk);
        };
        if (word.size() > 100) return give_up();
        for (size_t begin = 0; begin < word.size();) {
            int32_t found = -1;
            size_t end = word.size();
            for (; end > begin && found < 0; --end) {
                std::string piece(begin == 0 ? word_mark : "");
                for (size_t i = begin; i < end; ++i) append_utf8(piece, word[i]);
                found = vocab_.find(piece);
                if (found >= 0) break;
            }
            if (found < 0) return give_up();
            out.push_back(found);
            begin = end;
        }
    }

    const Vocab& vocab_;
};

}  // namespace

Result<std::unique_ptr<TextEncoder>> make_wordpiece(const VocabSource& source, const Vocab& vocab) {
    if (!vocab.unk) return Error(Status::bad_file, cat(source.name, ": key \"tokenizer.ggml.unknown_token_id\" is missing"), "tokenizer.ggml.unknown_token_id");
    return std::unique_ptr<TextEncoder>(std::make_unique<WordPiece>(vocab));
}

}  // namespace elver
