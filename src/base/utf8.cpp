#include "base/utf8.hpp"

namespace elver {

namespace {

struct Lead {
    int n_bytes;
    char32_t bits;
    unsigned char low, high;  // range of the second byte, which rules out overlong forms and surrogates
};

Lead classify(unsigned char byte) noexcept {
    if (byte < 0x80) return {1, byte, 0, 0};
    if (byte >= 0xc2 && byte <= 0xdf) return {2, char32_t(byte & 0x1f), 0x80, 0xbf};
    if (byte == 0xe0) return {3, 0, 0xa0, 0xbf};
    if (byte == 0xed) return {3, 0xd, 0x80, 0x9f};
    if (byte >= 0xe1 && byte <= 0xef) return {3, char32_t(byte & 0x0f), 0x80, 0xbf};
    if (byte == 0xf0) return {4, 0, 0x90, 0xbf};
    if (byte >= 0xf1 && byte <= 0xf3) return {4, char32_t(byte & 0x07), 0x80, 0xbf};
    if (byte == 0xf4) return {4, 4, 0x80, 0x8f};
    return {0, 0, 0, 0};
}

// Bytes of text that form a whole or partial sequence, and whether it is whole.
struct Scan {
    int n_bytes;
    bool whole;
    char32_t code_point;
};

Scan scan(std::string_view text) noexcept {
    const Lead lead = classify(static_cast<unsigned char>(text[0]));
    if (lead.n_bytes == 0) return {0, false, 0};
    char32_t value = lead.bits;
    for (int i = 1; i < lead.n_bytes; ++i) {
        if (static_cast<size_t>(i) >= text.size()) return {i, false, 0};
        const unsigned char byte = static_cast<unsigned char>(text[i]);
        const unsigned char low = i == 1 ? lead.low : 0x80, high = i == 1 ? lead.high : 0xbf;
        if (byte < low || byte > high) return {i, false, 0};
        value = (value << 6) | (byte & 0x3f);
    }
    return {lead.n_bytes, true, value};
}

}  // namespace

DecodedChar decode_utf8(std::string_view text) noexcept {
    const Scan s = scan(text);
    if (s.whole) return {s.code_point, s.n_bytes, true};
    return {0xfffd, s.n_bytes == 0 ? 1 : s.n_bytes, false};
}

void append_utf8(std::string& out, char32_t c) {
    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) c = 0xfffd;
    const auto put = [&out](char32_t byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
    if (c < 0x80) {
        put(c);
    } else if (c < 0x800) {
        put(0xc0 | (c >> 6));
        put(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        put(0xe0 | (c >> 12));
        put(0x80 | ((c >> 6) & 0x3f));
        put(0x80 | (c & 0x3f));
    } else {
        put(0xf0 | (c >> 18));
        put(0x80 | ((c >> 12) & 0x3f));
        put(0x80 | ((c >> 6) & 0x3f));
        put(0x80 | (c & 0x3f));
    }
}

bool is_valid_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        const DecodedChar c = decode_utf8(text);
        if (!c.valid) return false;
        text.remove_prefix(static_cast<size_t>(c.n_bytes));
    }
    return true;
}

size_t incomplete_utf8_suffix(std::string_view text) noexcept {
    for (size_t n = 1; n <= 3 && n <= text.size(); ++n) {
        const std::string_view tail = text.substr(text.size() - n);
        const unsigned char byte = static_cast<unsigned char>(tail[0]);
        if ((byte & 0xc0) == 0x80) continue;  // a continuation byte: its lead is further back
        const Scan s = scan(tail);
        return !s.whole && s.n_bytes == static_cast<int>(n) ? n : 0;
    }
    return 0;
}

std::string replace_invalid_utf8(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const DecodedChar c = decode_utf8(text);
        if (c.valid) {
            out.append(text.substr(0, static_cast<size_t>(c.n_bytes)));
        } else {
            append_utf8(out, 0xfffd);
        }
        text.remove_prefix(static_cast<size_t>(c.n_bytes));
    }
    return out;
}

}  // namespace elver
