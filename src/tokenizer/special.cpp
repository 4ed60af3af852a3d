// The tokens known by their text are those that files often type as normal: a chat would run on past its end, or show
// its marks. The split is a heap of the longest match at each place: memory stays in proportion to the text.
#include "tokenizer/special.hpp"

#include <algorithm>
#include <queue>

#include "tokenizer/unicode.hpp"

namespace elver {

namespace {

constexpr std::string_view ends_by_text[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
    // the end of a file to fill in
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
};
constexpr std::string_view control_by_text[] = {
    "<|fim_prefix|>",  "<fim-prefix>",  "<fim_prefix>",    "<｜fim▁begin｜>", "<PRE>",           "▁<PRE>",
    "<|code_prefix|>", "<|prefix|>",    "<|fim_suffix|>",  "<fim-suffix>",    "<fim_suffix>",    "<｜fim▁hole｜>",
    "<SUF>",           "▁<SUF>",        "<|code_suffix|>", "<|suffix|>",      "<|fim_middle|>",  "<fim-middle>",
    "<fim_middle>",    "<｜fim▁end｜>", "<MID>",           "▁<MID>",          "<|code_middle|>", "<|middle|>",
};
// Where all the others are there, the first is not an end after all: in gpt-oss and Solar <|end|> ends a message and
// not the answer, in Gemma 4 and PLaMo </s> is a word.
struct NotAnEnd {
    std::string_view text, if_first, if_second;
    bool control;
};
constexpr NotAnEnd not_ends[] = {
    {"<|end|>", "<|return|>", "<|call|>", true},
    {"<|end|>", "<|flush|>", "<|calls|>", true},
    {"</s>", "<|tool_response>", "<|tool_response>", false},
    {"</s>", "<|plamo:eos|>", "<|plamo:eos|>", false},
};

// A longer special token is never looked for: it could make a text of one repeated letter slow.
constexpr size_t longest_special = 1024;

}  // namespace

SpecialTokens::SpecialTokens(const Vocab& vocab, SpaceEaters eaters) : eaters_(std::move(eaters)) {
    const auto n = static_cast<size_t>(vocab.size());
    control_.assign(n, false);
    end_.assign(n, false);
    keeps_right_.assign(n, false);
    for (size_t i = 0; i < n; ++i) {
        const TokenType type = vocab.token(static_cast<int32_t>(i)).type;
        control_[i] = type == TokenType::control || type == TokenType::unknown;
    }
    const auto mark = [&](int32_t id, bool end) {
        if (id < 0) return;
        control_[static_cast<size_t>(id)] = true;
        if (end) end_[static_cast<size_t>(id)] = true;
    };
    for (const std::string_view text : ends_by_text) mark(vocab.find(text), true);
    for (const std::string_view text : control_by_text) mark(vocab.find(text), false);
    for (const NotAnEnd& row : not_ends) {
        const int32_t id = vocab.find(row.text);
        if (id < 0 || vocab.find(row.if_first) < 0 || vocab.find(row.if_second) < 0) continue;
        end_[static_cast<size_t>(id)] = false;
        control_[static_cast<size_t>(id)] = row.control || vocab.token(id).type == TokenType::control;
    }
    for (const auto& id : {vocab.eos, vocab.eot, vocab.eom, vocab.fim_pad, vocab.fim_rep, vocab.fim_sep}) {
        if (id) end_[static_cast<size_t>(*id)] = true;
    }
    for (const std::string_view text : eaters_.right_except) {
        if (const int32_t id = vocab.find(text); id >= 0) keeps_right_[static_cast<size_t>(id)] = true;
    }
    std::vector<std::pair<std::string_view, int32_t>> all, user_defined;
    for (size_t i = 0; i < n; ++i) {
        const auto id = static_cast<int32_t>(i);
        const Token& token = vocab.token(id);
        if (token.text.size() > longest_special) continue;
        const bool always = token.type == TokenType::user_defined && !control_[i];
        if (always) user_defined.emplace_back(token.text, id);
        if (always || control_[i]) all.emplace_back(token.text, id);
    }
    all_ = ByteTrie(std::move(all));
    user_defined_ = ByteTrie(std::move(user_defined));
}

struct SpecialTokens::Hit {
    size_t length, begin;
    int32_t id;
    bool operator<(const Hit& o) const noexcept {
        if (length != o.length) return length < o.length;
        return id != o.id ? id > o.id : begin > o.begin;
    }
};

std::vector<SpecialTokens::Piece> SpecialTokens::find(std::string_view text, const ByteTrie& tokens) const {
    std::priority_queue<Hit> hits;
    const auto add_longest = [&](size_t begin, size_t limit) {
        Hit hit{0, begin, -1};
        tokens.prefixes(text.substr(begin, limit), [&](size_t length, int32_t id) { hit = {length, begin, id}; });
        if (hit.length > 0) hits.push(hit);
    };
    for (size_t at = 0; at < text.size(); ++at) add_longest(at, longest_special);
    std::vector<Piece> found;
    std::vector<bool> taken(hits.empty() ? 0 : text.size());
    while (!hits.empty()) {
        const Hit hit = hits.top();
        hits.pop();
        size_t room = 0;
        while (room < hit.length && !taken[hit.begin + room]) ++room;
        if (room < hit.length) {
            if (room > 0) add_longest(hit.begin, room);
            continue;
        }
        for (size_t i = 0; i < hit.length; ++i) taken[hit.begin + i] = true;
        found.push_back({hit.begin, hit.begin + hit.length, hit.id});
    }
    std::sort(found.begin(), found.end(), [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
    return found;
}

bool SpecialTokens::eats_right(int32_t id) const noexcept {
    return eaters_.right && id >= 0 && !keeps_right_[static_cast<size_t>(id)];
}

std::vector<SpecialTokens::Piece> SpecialTokens::split(std::string_view text, bool parse_special) const {
    const ByteTrie& tokens = parse_special ? all_ : user_defined_;
    std::vector<Piece> pieces;
    const auto add_plain = [&](size_t begin, size_t end) {
        if (!pieces.empty() && eats_right(pieces.back().id)) {
            begin += leading_white_space(text.substr(begin, end - begin));
        }
        if (begin < end) pieces.push_back({begin, end, -1});
    };
    size_t at = 0;
    if (!tokens.empty()) {
        for (const Piece& piece : find(text, tokens)) {
            size_t end = piece.begin;
            if (piece.id == eaters_.left) end -= trailing_white_space(text.substr(at, end - at));
            if (at < end) add_plain(at, end);
            pieces.push_back(piece);
            at = piece.end;
        }
    }
    if (at < text.size()) add_plain(at, text.size());
    return pieces;
}

}  // namespace elver
