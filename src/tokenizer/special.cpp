// Special tokens in running text: which tokens count as special, and the split of a text at them: the longest over the whole text
// first, then the next longest, never inside one that was taken.
#include <algorithm>

#include "tokenizer/tokenizer.hpp"

namespace elver {

namespace {

// Tokens that files type as normal though they end a turn or steer the model; known by their text.
constexpr std::string_view ends[] = {
    "<|eot_id|>", "<|im_end|>",   "<|end|>",       "<end_of_turn>",    "<|endoftext|>", "<|end_of_text|>", "<EOT>",
    "_<EOT>",     "<|eom_id|>",   "</s>",          "<|return|>",       "<|call|>",      "<|end_of_turn|>", "<turn|>",
    "<|eos|>",    "<|end▁of▁sentence|>", "<｜end▁of▁sentence｜>", "<|user|>", "[EOS]", "[e~[", "<|tool_response>",
};
constexpr std::string_view steering[] = {
    "<|fim_prefix|>", "<|fim-prefix|>", "<fim-prefix>", "<fim_prefix>", "<PRE>", "<|fim_suffix|>", "<|fim-suffix|>", "<fim-suffix>", "<fim_suffix>", "<SUF>",
    "<|fim_middle|>", "<|fim-middle|>", "<fim-middle>", "<fim_middle>", "<MID>", "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "<|fim_repo|>", "<|repo_name|>",
    "<fim-repo>", "<REPO>", "<|file_sep|>", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>",
};

template <size_t N>
bool among(const std::string_view (&list)[N], std::string_view text) {
    return std::find(std::begin(list), std::end(list), text) != std::end(list);
}

}  // namespace

void Tokenizer::index_special() {
    const auto n = static_cast<size_t>(vocab_.size());
    control_.assign(n, false);
    end_.assign(n, false);
    for (const auto& id : {vocab_.eos, vocab_.eot, vocab_.eom}) {
        if (id) end_[static_cast<size_t>(*id)] = true;
    }
    for (size_t i = 0; i < n; ++i) {
        const Token& t = vocab_.token(static_cast<int32_t>(i));
        const bool marked = among(ends, t.text);
        // "<|user|>" ends a turn only where it is the end-of-sequence token itself.
        if (marked && t.text != "<|user|>" && (t.type == TokenType::control || t.type == TokenType::user_defined || t.text != "</s>")) end_[i] = true;
        control_[i] = t.type == TokenType::control || t.type == TokenType::unknown || (marked && end_[i]) || among(steering, t.text);
        const bool always = t.type == TokenType::user_defined && !control_[i];
        if ((control_[i] || always) && !t.text.empty()) special_.push_back({t.text, static_cast<int32_t>(i), always});
    }
    std::sort(special_.begin(), special_.end(), [](const Special& a, const Special& b) { return a.text < b.text; });
}

std::vector<Tokenizer::Piece> Tokenizer::split_special(std::string_view text, bool parse_special) const {
    struct Hit {
        size_t begin, length;
        int32_t id;
    };
    std::vector<Hit> hits;
    for (size_t at = 0; at < text.size(); ++at) {
        // Walks down the sorted list one byte at a time; each level keeps the run of tokens that share the prefix.
        auto low = special_.begin(), high = special_.end();
        for (size_t n = 0; at + n < text.size() && low != high; ++n) {
            const char c = text[at + n];
            const auto byte = [n](const Special& s) { return s.text.size() > n ? static_cast<int>(static_cast<unsigned char>(s.text[n])) : -1; };
            const int wanted = static_cast<unsigned char>(c);
            low = std::partition_point(low, high, [&](const Special& s) { return byte(s) < wanted; });
            high = std::partition_point(low, high, [&](const Special& s) { return byte(s) <= wanted; });
            if (low != high && low->text.size() == n + 1 && (parse_special || low->always)) hits.push_back({at, n + 1, low->id});
        }
    }
    std::sort(hits.begin(), hits.end(), [](const Hit& a, const Hit& b) {
        if (a.length != b.length) return a.length > b.length;
        return a.id != b.id ? a.id < b.id : a.begin < b.begin;
    });
    std::vector<Piece> taken;
    std::vector<bool> used(hits.empty() ? 0 : text.size());
    for (const Hit& hit : hits) {
        const auto first = used.begin() + static_cast<std::ptrdiff_t>(hit.begin), last = first + static_cast<std::ptrdiff_t>(hit.length);
        if (std::find(first, last, true) != last) continue;
        std::fill(first, last, true);
        taken.push_back({hit.begin, hit.begin + hit.length, hit.id});
    }
    std::sort(taken.begin(), taken.end(), [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
    std::vector<Piece> pieces;
    size_t at = 0;
    for (const Piece& p : taken) {
        if (p.begin > at) pieces.push_back({at, p.begin, -1});
        pieces.push_back(p);
        at = p.end;
    }
    if (at < text.size()) pieces.push_back({at, text.size(), -1});
    return pieces;
}

}  // namespace elver
