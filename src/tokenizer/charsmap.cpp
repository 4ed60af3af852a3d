// A unit of the double array holds a label (bits 0–7, bit 31 for values), whether a value hangs below it (bit 8), and
// the offset of its children (bits 10–30, scaled by bit 9).
#include "tokenizer/charsmap.hpp"

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "tokenizer/unicode.hpp"

namespace elver {

namespace {

// No normalisation form makes more than some 36 bytes of one character; a file may not make a text grow without bound.
constexpr size_t longest_replacement = 256;

constexpr uint32_t offset_of(uint32_t unit) noexcept {
    return (unit >> 10) << ((unit & (1u << 9)) >> 6);
}
constexpr uint32_t label_of(uint32_t unit) noexcept {
    return unit & ((1u << 31) | 0xff);
}
constexpr uint32_t value_of(uint32_t unit) noexcept {
    return unit & ((1u << 31) - 1);
}
constexpr bool has_value(uint32_t unit) noexcept {
    return ((unit >> 8) & 1) != 0;
}

uint32_t read_u32(const std::byte* p) noexcept {  // little-endian, as files are
    uint32_t out = 0;
    for (int i = 3; i >= 0; --i) out = (out << 8) | std::to_integer<uint32_t>(p[i]);
    return out;
}

}  // namespace

Result<Charsmap> Charsmap::make(const VocabSource& source) {
    Charsmap out;
    const auto bytes = source.charsmap;
    if (bytes.empty()) return out;
    const auto wrong = [&](const std::string& what) { return vocab_error(source, "precompiled_charsmap", what); };
    if (bytes.size() < 4) return wrong(cat("expected at least 4 bytes, found ", bytes.size()));
    const uint32_t n_bytes = read_u32(bytes.data());
    if (n_bytes % 4 != 0 || n_bytes == 0 || n_bytes > bytes.size() - 4) {
        return wrong(cat("expected a table of 4 to ", bytes.size() - 4, " bytes in words of 4, found ", n_bytes));
    }
    out.units_.reserve(n_bytes / 4);
    for (size_t at = 0; at < n_bytes; at += 4) out.units_.push_back(read_u32(bytes.data() + 4 + at));
    const auto rest = bytes.subspan(4 + n_bytes);
    out.replacements_.assign(reinterpret_cast<const char*>(rest.data()), rest.size());
    if (!out.replacements_.empty() && out.replacements_.back() != '\0') {
        return wrong("expected replacements that end with NUL, found an open end");
    }
    for (size_t begin = 0; begin < out.replacements_.size();) {
        const size_t end = out.replacements_.find('\0', begin);
        if (end - begin > longest_replacement) {
            return wrong(
                cat("expected replacements up to ", longest_replacement, " bytes, found one of ", end - begin));
        }
        begin = end + 1;
    }
    return out;
}

Charsmap::Match Charsmap::longest(std::string_view text) const noexcept {
    Match out;
    if (units_.empty()) return out;
    size_t node = offset_of(units_[0]);
    for (size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        node ^= byte;
        if (node >= units_.size() || label_of(units_[node]) != byte) break;
        const bool ends = has_value(units_[node]);
        node ^= offset_of(units_[node]);
        if (node >= units_.size()) break;
        if (!ends) continue;
        const size_t at = value_of(units_[node]);
        if (at >= replacements_.size()) continue;
        out = {i + 1, std::string_view(replacements_.data() + at)};
    }
    return out;
}

Result<SpmNormaliser> SpmNormaliser::make(const VocabSource& source, Options fallback) {
    SpmNormaliser out;
    auto map = Charsmap::make(source);
    if (!map) return std::move(map).error();
    out.map_ = *std::move(map);
    out.options_.add_space = source.add_space_prefix.value_or(fallback.add_space);
    out.options_.remove_extra = source.remove_extra_whitespaces.value_or(fallback.remove_extra);
    return out;
}

std::string SpmNormaliser::normalise(std::string_view text) const {
    std::string out;
    out.reserve(text.size() + 3);
    bool started = false, after_space = options_.remove_extra;
    while (!text.empty()) {
        const Charsmap::Match match = map_.longest(text);
        const size_t n = match.n_bytes > 0 ? match.n_bytes : static_cast<size_t>(decode_utf8(text).n_bytes);
        std::string_view piece = match.n_bytes > 0 ? match.replacement : text.substr(0, n);
        text.remove_prefix(n);
        if (options_.remove_extra) {
            while (after_space && !piece.empty() && piece[0] == ' ') piece.remove_prefix(1);
            if (piece.empty()) continue;
            after_space = piece.back() == ' ';
        }
        if (!started && options_.add_space) out.append(space_mark);
        started = true;
        for (const char c : piece) c == ' ' ? void(out.append(space_mark)) : out.push_back(c);
    }
    if (options_.remove_extra) {
        while (out.ends_with(space_mark)) out.resize(out.size() - space_mark.size());
    }
    return out;
}

}  // namespace elver
