#include "jinja/lexer.hpp"

#include <algorithm>

#include "base/utf8.hpp"
#include "jinja/python/print.hpp"

namespace elver::jinja {

Error broken_at(int line, std::string_view what) {
    return Error(Status::bad_file, cat("line ", line, ": ", what));
}
Error unsupported_at(int line, std::string_view what) {
    return Error(Status::unsupported, cat("line ", line, ": ", what));
}

namespace {

bool digit(char c) {
    return c >= '0' && c <= '9';
}
bool name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}
bool name_char(char c) {
    return name_start(c) || digit(c);
}

// CRLF and CR become LF; one newline at the end is dropped.
std::string normalise_newlines(std::string_view source) {
    std::string out;
    out.reserve(source.size());
    for (size_t i = 0; i < source.size(); ++i) {
        if (source[i] != '\r') {
            out.push_back(source[i]);
            continue;
        }
        out.push_back('\n');
        if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
    if (!out.empty() && out.back() == '\n') out.pop_back();
    return out;
}

class Lexer {
  public:
    explicit Lexer(std::string_view source) : source_(normalise_newlines(source)), rest_(source_) {}

    Result<std::vector<Token>> run() {
        while (!rest_.empty()) root();
        if (error_) return *std::move(error_);
        push(TokenKind::end);
        return std::move(tokens_);
    }

  private:
    // Keeps the first error, and ends the loops: nothing is left to read.
    void fail(Error error) {
        if (!error_) error_ = std::move(error);
        rest_ = rest_.substr(rest_.size());
    }
    void fail_at(int line, std::string_view what) { fail(broken_at(line, what)); }

    void root() {
        const size_t at = find_tag();
        if (at == std::string_view::npos) {
            push_text(rest_);
            advance(rest_.size());
            return;
        }
        const char kind = rest_[at + 1];
        std::string_view text = rest_.substr(0, at);
        const char sign = at + 2 < rest_.size() && (rest_[at + 2] == '-' || rest_[at + 2] == '+') ? rest_[at + 2] : 0;
        push_text(trim_before(text, sign, kind != '{'));
        advance(at);
        if (kind == '%' && raw(sign)) return;
        const int line = line_;
        advance(sign ? 3 : 2);
        if (kind == '#') {
            const size_t end = rest_.find("#}");
            if (end == std::string_view::npos) return fail_at(line, "a comment is not closed by #}");
            const char before = end > 0 ? rest_[end - 1] : 0;
            advance(end + 2);
            after_tag(before, true);
            return;
        }
        push(kind == '%' ? TokenKind::block_begin : TokenKind::print_begin);
        tag(kind == '%');
    }

    size_t find_tag() const {
        for (size_t i = 0; (i = rest_.find('{', i)) != std::string_view::npos && i + 1 < rest_.size(); ++i) {
            const char c = rest_[i + 1];
            if (c == '%' || c == '{' || c == '#') return i;
        }
        return std::string_view::npos;
    }

    // The text before a tag: "-" strips all white space; without a sign, a block or comment alone on its line strips
    // the indentation.
    std::string_view trim_before(std::string_view text, char sign, bool block) const {
        if (sign == '-') return strip(text, Side::right);
        if (sign == '+' || !block) return text;
        const size_t newline = text.rfind('\n');
        const size_t start = newline == std::string_view::npos ? 0 : newline + 1;
        if (start == 0 && !line_starting_) return text;
        const bool blank = start < text.size() && strip(text.substr(start), Side::both).empty();
        return blank ? text.substr(0, start) : text;
    }

    // White space after a closing tag whose last character before the delimiter is given.
    void after_tag(char before, bool block) {
        line_starting_ = false;
        if (before == '-') {
            const size_t n = rest_.size() - strip(rest_, Side::left).size();
            if (n > 0) line_starting_ = rest_[n - 1] == '\n';
            advance(n);
        } else if (block && before != '+' && !rest_.empty() && rest_[0] == '\n') {
            advance(1);
            line_starting_ = true;
        }
    }

    size_t skip_spaces(size_t i) const { return rest_.size() - strip(rest_.substr(i), Side::left).size(); }

    // "{% raw %}": the text up to "{% endraw %}" as it is. False if this tag is another one.
    bool raw(char sign) {
        size_t i = skip_spaces(sign ? 3 : 2);
        if (rest_.substr(i, 3) != "raw") return false;
        i = skip_spaces(i + 3);
        const bool minus = i < rest_.size() && rest_[i] == '-';
        if (rest_.substr(minus ? i + 1 : i, 2) != "%}") return false;
        const int line = line_;
        advance(i + (minus ? 3 : 2));
        line_starting_ = false;
        if (minus) after_tag('-', false);
        for (size_t at = 0; (at = rest_.find("{%", at)) != std::string_view::npos; at += 2) {
            const char end_sign =
                at + 2 < rest_.size() && (rest_[at + 2] == '-' || rest_[at + 2] == '+') ? rest_[at + 2] : 0;
            size_t j = skip_spaces(at + (end_sign ? 3 : 2));
            if (rest_.substr(j, 6) != "endraw") continue;
            j = skip_spaces(j + 6);
            const char before = j < rest_.size() && (rest_[j] == '-' || rest_[j] == '+') ? rest_[j] : 0;
            if (rest_.substr(before ? j + 1 : j, 2) != "%}") continue;
            push_text(trim_before(rest_.substr(0, at), end_sign, true));
            advance(j + (before ? 3 : 2));
            after_tag(before, true);
            return true;
        }
        fail_at(line, "raw is not closed by {% endraw %}");
        return true;
    }

    // The inside of {{ }} or {% %}.
    void tag(bool block) {
        std::string open;  // closing brackets to come
        const std::string_view close = block ? "%}" : "}}";
        const int line = line_;
        for (;;) {
            if (rest_.empty()) return fail_at(line, cat("a tag is not closed by ", close));
            if (open.empty()) {
                const char sign = rest_[0] == '-' || (block && rest_[0] == '+') ? rest_[0] : 0;
                if (rest_.substr(sign ? 1 : 0, 2) == close) {
                    push(block ? TokenKind::block_end : TokenKind::print_end);
                    advance(sign ? 3 : 2);
                    after_tag(sign, block);
                    return;
                }
            }
            const size_t spaces = skip_spaces(0);
            if (spaces > 0) {
                advance(spaces);
            } else if (digit(rest_[0])) {
                number();
            } else if (name_start(rest_[0])) {
                size_t n = 1;
                while (n < rest_.size() && name_char(rest_[n])) ++n;
                push(TokenKind::name, std::string(rest_.substr(0, n)));
                advance(n);
            } else if (rest_[0] == '"' || rest_[0] == '\'') {
                string();
            } else {
                op(open);
            }
        }
    }

    void op(std::string& open) {
        static constexpr std::string_view two[] = {"//", "**", "==", "!=", ">=", "<="};
        static constexpr std::string_view one = "+-/*%~[](){}><=.:|,;";
        const std::string_view pair = rest_.substr(0, 2);
        const bool is_two = std::find(std::begin(two), std::end(two), pair) != std::end(two);
        const char c = rest_[0];
        if (!is_two && one.find(c) == std::string_view::npos) {
            return fail_at(line_, cat("unexpected character ", in_quotes(rest_.substr(0, 1)), " in a tag"));
        }
        if (c == '(' || c == '[' || c == '{') {
            open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
        } else if (c == ')' || c == ']' || c == '}') {
            if (open.empty()) return fail_at(line_, cat("unexpected '", c, "'"));
            if (open.back() != c) return fail_at(line_, cat("unexpected '", c, "', expected '", open.back(), "'"));
            open.pop_back();
        }
        push(TokenKind::op, std::string(rest_.substr(0, is_two ? 2 : 1)));
        advance(is_two ? 2 : 1);
    }

    size_t digits(size_t i) const {
        while (i < rest_.size() && digit(rest_[i])) ++i;
        return i;
    }

    void number() {
        size_t end = digits(0);
        bool real = false;
        const bool after_dot = rest_.data()[-1] == '.';  // x.0.1 has two keys; a number never begins a template
        if (!after_dot) {
            if (end + 1 < rest_.size() && rest_[end] == '.' && digit(rest_[end + 1])) {
                end = digits(end + 1);
                real = true;
            }
            if (end < rest_.size() && (rest_[end] == 'e' || rest_[end] == 'E')) {
                size_t exponent = end + 1;
                if (exponent < rest_.size() && (rest_[exponent] == '+' || rest_[exponent] == '-')) ++exponent;
                if (exponent < rest_.size() && digit(rest_[exponent])) {
                    end = digits(exponent);
                    real = true;
                }
            }
        }
        if (end < rest_.size() && name_char(rest_[end]))
            return fail(unsupported_at(
                line_, cat("a number written as ", in_quotes(rest_.substr(0, end + 1)), "... is not supported")));
        const std::string_view text = rest_.substr(0, end);
        Token token{real ? TokenKind::real : TokenKind::integer, line_, std::string(text)};
        if (real) {
            token.real = parse_float(text).value_or(0);
        } else {
            const auto value = parse_int(text);
            if (!value) return fail_at(line_, cat("integer ", in_quotes(text), " is too large"));
            token.integer = *value;
        }
        tokens_.push_back(std::move(token));
        advance(end);
    }

    void string() {
        const char quote = rest_[0];
        size_t end = 1;
        while (end < rest_.size() && rest_[end] != quote) end += rest_[end] == '\\' ? 2 : 1;
        if (end >= rest_.size()) return fail_at(line_, "a string is not closed");
        std::string text = unescape(rest_.substr(1, end - 1));
        if (error_) return;
        push(TokenKind::string, std::move(text));
        advance(end + 1);
    }

    std::string unescape(std::string_view in) {
        std::string out;
        for (size_t i = 0; i < in.size(); ++i) {
            if (in[i] != '\\') {
                out.push_back(in[i]);
                continue;
            }
            const char c = in[++i];  // the lexer has seen a character after each backslash
            static constexpr std::string_view from = "\\'\"abfnrtv", to = "\\'\"\a\b\f\n\r\t\v";
            const size_t simple = from.find(c);
            if (simple != std::string_view::npos) {
                out.push_back(to[simple]);
            } else if (c == 'x' || c == 'u' || c == 'U') {
                i = hex_escape(in, i, out);
            } else if (c >= '0' && c <= '7') {
                char32_t value = 0;
                size_t n = 0;
                for (; n < 3 && i + n < in.size() && in[i + n] >= '0' && in[i + n] <= '7'; ++n)
                    value = value * 8 + static_cast<char32_t>(in[i + n] - '0');
                append_utf8(out, value);
                i += n - 1;
            } else if (c == 'N') {
                fail(unsupported_at(line_, "\\N{...} in a string is not supported"));
            } else if (c != '\n') {
                out.push_back('\\');
                out.push_back(c);
            }
        }
        return out;
    }

    // \xNN, \uNNNN or \UNNNNNNNN with its letter at i; returns the place of the last digit.
    size_t hex_escape(std::string_view in, size_t i, std::string& out) {
        const size_t n = in[i] == 'x' ? 2 : in[i] == 'u' ? 4 : 8;
        char32_t value = 0;
        for (size_t k = 1; k <= n; ++k) {
            const char c = i + k < in.size() ? in[i + k] : ' ';
            const int d = digit(c)               ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
            if (d < 0) return fail_at(line_, cat("truncated \\", in[i], " escape in a string")), i;
            value = value * 16 + static_cast<char32_t>(d);
        }
        if (value > 0x10FFFF)
            fail_at(line_, "an escape in a string is above U+10FFFF");
        else if (value >= 0xD800 && value < 0xE000)
            fail(unsupported_at(line_, "a surrogate escape in a string is not supported"));
        else
            append_utf8(out, value);
        return i + n;
    }

    void push(TokenKind kind, std::string text = {}) { tokens_.push_back({kind, line_, std::move(text)}); }
    void push_text(std::string_view text) {
        if (!text.empty()) push(TokenKind::text, std::string(text));
    }
    void advance(size_t n) {
        line_ += static_cast<int>(std::count(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(n), '\n'));
        rest_.remove_prefix(n);
    }

    const std::string source_;
    std::string_view rest_;
    int line_ = 1;
    bool line_starting_ = true;
    std::vector<Token> tokens_;
    std::optional<Error> error_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) {
    return Lexer(source).run();
}

}  // namespace elver::jinja
