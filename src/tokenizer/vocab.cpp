// The checks that stand between a file's vocabulary and the tokenizers.
#include "tokenizer/vocab.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.hpp"
#include "base/utf8.hpp"

namespace elver {

namespace {

// Beyond the largest there are: 514,906 tokens, one of 1024 bytes, some MB in all. A table built of them takes some
// dozen times their bytes, and looking for them time in proportion to the longest.
constexpr size_t max_tokens = size_t{1} << 24;
constexpr size_t max_token_bytes = 4096;
constexpr size_t max_bytes = size_t{64} << 20;

}  // namespace

Error vocab_error(const VocabSource& source, std::string_view key, std::string_view what) {
    std::string full = cat("tokenizer.ggml.", key);
    return Error(Status::bad_file, cat(source.name, ": key \"", full, "\": ", what), full);
}

Result<Vocab> Vocab::make(const VocabSource& source) {
    const size_t n = source.tokens.size();
    if (n == 0 || n > max_tokens) {
        return vocab_error(source, "tokens", cat("expected 1 to ", max_tokens, " tokens, found ", n));
    }
    if (!source.scores.empty() && source.scores.size() != n) {
        return vocab_error(source, "scores", cat("expected ", n, ", one a token, found ", source.scores.size()));
    }
    if (!source.types.empty() && source.types.size() != n) {
        return vocab_error(source, "token_type", cat("expected ", n, ", one a token, found ", source.types.size()));
    }
    Vocab vocab;
    if (auto added = vocab.add_tokens(source); !added) return std::move(added).error();
    if (auto taken = vocab.take_ids(source); !taken) return std::move(taken).error();
    return vocab;
}

Result<void> Vocab::add_tokens(const VocabSource& source) {
    size_t n_bytes = 0;
    for (size_t i = 0; i < source.tokens.size(); ++i) {
        const size_t n = source.tokens[i].size();
        n_bytes += n;
        if (n > max_token_bytes || n_bytes > max_bytes) {
            return vocab_error(source, "tokens",
                               cat("token ", i, ": expected up to ", max_token_bytes, " bytes, and up to ", max_bytes,
                                   " of all tokens, found ", n, " and ", n_bytes));
        }
    }
    arena_.reserve(n_bytes);
    tokens_.reserve(source.tokens.size());
    by_text_.reserve(source.tokens.size());
    for (size_t i = 0; i < source.tokens.size(); ++i) {
        const std::string_view text = source.tokens[i];
        if (!is_valid_utf8(text)) {
            return vocab_error(source, "tokens", cat("token ", i, ": expected UTF-8, found ", in_quotes(text)));
        }
        const float score = source.scores.empty() ? 0.0f : source.scores[i];
        if (std::isnan(score)) {
            return vocab_error(source, "scores", cat("score ", i, ": expected a number, found NaN"));
        }
        const int32_t type = source.types.empty() ? 1 : source.types[i];
        if (type < 0 || type > 6) {
            return vocab_error(source, "token_type", cat("type ", i, ": expected 0 to 6, found ", type));
        }
        const char* start = arena_.data() + arena_.size();
        arena_.insert(arena_.end(), text.begin(), text.end());
        longest_ = std::max(longest_, text.size());
        tokens_.push_back({{start, text.size()}, score, type == 0 ? TokenType::normal : static_cast<TokenType>(type)});
        if (text.empty()) continue;  // some files leave holes: such a token stands for nothing
        const auto id = static_cast<int32_t>(i);
        const auto [it, fresh] = by_text_.emplace(tokens_.back().text, id);
        if (!fresh && (is_plain(id) || !is_plain(it->second))) it->second = id;
    }
    return {};
}

Result<void> Vocab::take_ids(const VocabSource& source) {
    struct Row {
        const char* key;
        const std::optional<int32_t>& from;
        std::optional<int32_t>& to;
    };
    const Row rows[] = {
        {"bos_token_id", source.bos, bos},
        {"eos_token_id", source.eos, eos},
        {"eot_token_id", source.eot, eot},
        {"eom_token_id", source.eom, eom},
        {"unknown_token_id", source.unk, unk},
        {"seperator_token_id", source.sep, sep},
        {"padding_token_id", source.pad, pad},
        {"cls_token_id", source.cls, cls},
        {"mask_token_id", source.mask, mask},
        {"fim_pre_token_id", source.fim_pre, fim_pre},
        {"fim_suf_token_id", source.fim_suf, fim_suf},
        {"fim_mid_token_id", source.fim_mid, fim_mid},
        {"fim_pad_token_id", source.fim_pad, fim_pad},
        {"fim_rep_token_id", source.fim_rep, fim_rep},
        {"fim_sep_token_id", source.fim_sep, fim_sep},
    };
    for (const Row& row : rows) {
        if (row.from && !has(*row.from)) {
            return vocab_error(source, row.key, cat("expected an id from 0 to ", size() - 1, ", found ", *row.from));
        }
        row.to = row.from;
    }
    return {};
}

int32_t Vocab::byte_token(uint8_t byte) const noexcept {
    static constexpr char hex[] = "0123456789ABCDEF";
    const char text[] = {'<', '0', 'x', hex[byte >> 4], hex[byte & 15], '>'};
    return find({text, sizeof text});
}

}  // namespace elver
