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

// The row for a text that is no end in this vocabulary, or null.
const NotAnEnd* is_no_end(const Vocab& vocab, std::string_view text) {
    const auto* row = std::find_if(std::begin(not_ends), std::end(not_ends), [&](const NotAnEnd& r) {
        return r.text == text && vocab.find(r.if_first) >= 0 && vocab.find(r.if_second) >= 0;
    });
    return row == std::end(not_ends) ? nullptr : row;
}

bool in_brackets(std::string_view text) {
    constexpr std::string_view brackets = "<>[]";
    return text.size() >= 3 && brackets.find(text.front()) != std::string_view::npos &&
           brackets.find(text.back()) != std::string_view::npos;
}

// "<|...|>" and tokens like it: a bar beside one of the brackets, as in Gemma's <|turn> or DeepSeek's full-width ones.
bool in_barred_brackets(std::string_view text) {
    constexpr std::string_view wide_bar = "\uFF5C";
    if (text.size() < 4 || text.front() != '<' || text.back() != '>') return false;
    const std::string_view inside = text.substr(1, text.size() - 2);
    return inside.front() == '|' || inside.back() == '|' || inside.starts_with(wide_bar) || inside.ends_with(wide_bar);
}

}  // namespace

void correct_types(Vocab& vocab, std::span<const std::string_view> templates) {
    for (const std::string_view text : ends_by_text) {
        const int32_t id = vocab.find(text);
        const NotAnEnd* row = is_no_end(vocab, text);
        if (id >= 0 && (!row || row->control)) vocab.set_type(id, TokenType::control);
    }
    for (const std::string_view text : control_by_text) {
        if (const int32_t id = vocab.find(text); id >= 0) vocab.set_type(id, TokenType::control);
    }
    for (const auto& id : {vocab.bos, vocab.eos, vocab.eot, vocab.eom, vocab.sep, vocab.cls, vocab.pad, vocab.mask}) {
        if (id && !steers(vocab.token(*id).type) && in_brackets(vocab.token(*id).text))
            vocab.set_type(*id, TokenType::control);
    }
    std::vector<std::pair<std::string_view, int32_t>> in_templates;
    for (int32_t id = 0; id < vocab.size(); ++id) {
        const Token& token = vocab.token(id);
        if (token.type != TokenType::user_defined) continue;
        if (in_barred_brackets(token.text))
            vocab.set_type(id, TokenType::marker);
        else if (in_brackets(token.text) && token.text.size() <= longest_special)
            in_templates.emplace_back(token.text, id);
    }
    const ByteTrie sought(std::move(in_templates));
    for (const std::string_view text : templates) {
        for (size_t at = 0; at < text.size(); ++at) {
            sought.prefixes(text.substr(at), [&](size_t, int32_t id) { vocab.set_type(id, TokenType::marker); });
        }
    }
}

SpecialTokens::SpecialTokens(const Vocab& vocab, SpaceEaters eaters) : eaters_(std::move(eaters)) {
    const auto n = static_cast<size_t>(vocab.size());
    control_.assign(n, false);
    steers_.assign(n, false);
    end_.assign(n, false);
    keeps_right_.assign(n, false);
    for (size_t i = 0; i < n; ++i) {
        const TokenType type = vocab.token(static_cast<int32_t>(i)).type;
        steers_[i] = steers(type);
        control_[i] = steers_[i] && type != TokenType::marker;
    }
    for (const std::string_view text : ends_by_text) {
        if (const int32_t id = vocab.find(text); id >= 0) end_[static_cast<size_t>(id)] = !is_no_end(vocab, text);
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
        const bool always = token.type == TokenType::user_defined;
        if (always) user_defined.emplace_back(token.text, id);
        if (always || steers_[i]) all.emplace_back(token.text, id);
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

std::vector<SpecialTokens::Piece> SpecialTokens::find(std::string_view text, const ByteTrie& tokens,
                                                      const Ranges& typed) const {
    std::priority_queue<Hit> hits;
    const auto add_longest = [&](size_t begin, size_t limit) {
        Hit hit{0, begin, -1};
        tokens.prefixes(text.substr(begin, limit), [&](size_t length, int32_t id) {
            if (steers_[static_cast<size_t>(id)] && typed.overlap(begin, begin + length)) return;
            hit = {length, begin, id};
        });
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

std::vector<SpecialTokens::Piece> SpecialTokens::split(std::string_view text, const Ranges& typed) const {
    const bool all_typed = typed.size() == 1 && typed.begin()->begin == 0 && typed.begin()->end >= text.size();
    const ByteTrie& tokens = all_typed ? user_defined_ : all_;
    std::vector<Piece> pieces;
    const auto add_plain = [&](size_t begin, size_t end) {
        if (!pieces.empty() && eats_right(pieces.back().id)) {
            begin += leading_white_space(text.substr(begin, end - begin));
        }
        if (begin < end) pieces.push_back({begin, end, -1});
    };
    size_t at = 0;
    if (!tokens.empty()) {
        for (const Piece& piece : find(text, tokens, typed)) {
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
