#include "tokenizer/tokenizer.hpp"

#include <cmath>
#include <utility>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "tokenizer/pre_tokenizer.hpp"

namespace elver {

Result<Vocab> Vocab::make(const VocabSource& source) {
    const auto wrong = [&](const char* key, std::string what) { return Error(Status::bad_file, cat(source.name, ": key \"", key, "\": ", what), key); };
    const size_t n = source.tokens.size();
    if (n == 0 || n > (size_t{1} << 24)) return wrong("tokenizer.ggml.tokens", cat("expected 1 to 16777216 tokens, found ", n));
    if (!source.scores.empty() && source.scores.size() != n) return wrong("tokenizer.ggml.scores", cat("expected ", n, " scores, one a token, found ", source.scores.size()));
    if (!source.types.empty() && source.types.size() != n) return wrong("tokenizer.ggml.token_type", cat("expected ", n, " types, one a token, found ", source.types.size()));
    Vocab v;
    size_t total = 0;
    for (const std::string_view text : source.tokens) total += text.size();
    v.arena_.reserve(total);
    v.tokens_.reserve(n);
    v.by_text_.reserve(n);
    for (size_t i = 0; i < n; ++i) {
        const std::string_view text = source.tokens[i];
        if (!is_valid_utf8(text)) return wrong("tokenizer.ggml.tokens", cat("token ", i, ": expected UTF-8, found ", quoted(text)));
        const char* start = v.arena_.data() + v.arena_.size();
        v.arena_.insert(v.arena_.end(), text.begin(), text.end());
        const float score = source.scores.empty() ? 0.0f : source.scores[i];
        if (std::isnan(score)) return wrong("tokenizer.ggml.scores", cat("score ", i, ": expected a number, found NaN"));
        const int32_t type = source.types.empty() ? 1 : source.types[i];
        if (type < 0 || type > 6) return wrong("tokenizer.ggml.token_type", cat("type ", i, ": expected 0 to 6, found ", type));
        v.tokens_.push_back({{start, text.size()}, score, type == 0 ? TokenType::normal : static_cast<TokenType>(type)});
        // Some files pad their vocabulary with repeated or empty unused tokens; the first keeps the name.
        const auto [it, fresh] = v.by_text_.emplace(v.tokens_.back().text, static_cast<int32_t>(i));
        if (!fresh && v.tokens_.back().type == TokenType::normal && v.tokens_[static_cast<size_t>(it->second)].type == TokenType::normal && !text.empty()) {
            return wrong("tokenizer.ggml.tokens", cat("token ", i, ": ", quoted(text), " is token ", it->second, " already"));
        }
    }
    const std::pair<const char*, const std::optional<int32_t>*> ids[] = {{"bos", &source.bos}, {"eos", &source.eos}, {"eot", &source.eot}, {"eom", &source.eom}, {"unknown", &source.unk},
                                                                         {"seperator", &source.sep}, {"padding", &source.pad}, {"cls", &source.cls}, {"mask", &source.mask}};
    for (const auto& [name, id] : ids) {
        if (*id && !v.has(**id)) return wrong(cat("tokenizer.ggml.", name, "_token_id").c_str(), cat("expected an id from 0 to ", n - 1, ", found ", **id));
    }
    v.bos = source.bos, v.eos = source.eos, v.eot = source.eot, v.eom = source.eom;
    v.unk = source.unk, v.sep = source.sep, v.pad = source.pad, v.cls = source.cls, v.mask = source.mask;
    return v;
}

int32_t Vocab::byte_token(uint8_t byte) const noexcept {
    static const char hex[] = "0123456789ABCDEF";
    const char text[] = {'<', '0', 'x', hex[byte >> 4], hex[byte & 15], '>'};
    return find({text, sizeof text});
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::make(const VocabSource& source) {
    struct Family {
        const char* model;
        Result<std::unique_ptr<TextEncoder>> (*make)(const VocabSource&, const Vocab&);
        bool add_bos, spaces_before;
    };
    static constexpr Family families[] = {
        {"gpt2", make_bpe, false, false}, {"gemma4", make_bpe, true, false}, {"llama", make_spm, true, true}, {"bert", make_wordpiece, true, true}};
    const Family* family = nullptr;
    for (const Family& f : families) {
        if (source.model == f.model) family = &f;
    }
    if (family == nullptr) {
        return Error(Status::unsupported, cat(source.name, ": key \"tokenizer.ggml.model\": expected gpt2, llama, gemma4 or bert, found ", quoted(source.model)), "tokenizer.ggml.model");
    }
    auto vocab = Vocab::make(source);
    if (!vocab) return std::move(vocab).error();
    std::shared_ptr<Tokenizer> t(new Tokenizer());
    t->vocab_ = *std::move(vocab);
    if (source.model == "bert") {  // BERT frames its input with [CLS] and [SEP]
        if (!t->vocab_.bos) t->vocab_.bos = t->vocab_.cls;
        if (!t->vocab_.eos || t->vocab_.sep) t->vocab_.eos = t->vocab_.sep;
    }
    auto encoder = family->make(source, t->vocab_);
    if (!encoder) return std::move(encoder).error();
    t->encoder_ = *std::move(encoder);
    const PreTokenizerRule* rule = find_pre_tokenizer(source.pre);
    t->add_bos_ = source.add_bos.value_or(family->add_bos || (rule != nullptr && rule->add_bos)) && t->vocab_.bos.has_value();
    t->add_eos_ = source.add_eos.value_or(source.model == "bert") && t->vocab_.eos.has_value();
    t->strips_first_space_ = family->spaces_before && source.add_space_prefix.value_or(true);
    t->trims_after_special_ = source.architecture == "phi3" && source.model == "llama";
    t->index_special();
    return std::shared_ptr<const Tokenizer>(std::move(t));
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
    std::string repaired;
    if (!is_valid_utf8(text)) text = repaired = replace_invalid_utf8(text);
    std::vector<int32_t> out;
    if (options.add_special && add_bos_) out.push_back(*vocab_.bos);
    bool at_start = true, trim = false;
    for (const Piece& piece : split_special(text, options.parse_special)) {
        if (piece.id >= 0) {
            out.push_back(piece.id);
            at_start = true;
            const std::string_view name = vocab_.token(piece.id).text;
            trim = trims_after_special_ && name != "<s>" && name != "<unk>" && name != "<|endoftext|>";
            continue;
        }
        std::string_view plain = text.substr(piece.begin, piece.end - piece.begin);
        while (trim && !plain.empty() && (plain[0] == ' ' || (plain[0] >= '\t' && plain[0] <= '\r'))) plain.remove_prefix(1);
        if (auto done = encoder_->encode(plain, at_start, out); !done) return std::move(done).error();
        at_start = trim = false;
    }
    if (options.add_special && add_eos_) out.push_back(*vocab_.eos);
    return out;
}

bool Tokenizer::is_control(int32_t id) const noexcept { return vocab_.has(id) && control_[static_cast<size_t>(id)]; }
bool Tokenizer::is_end(int32_t id) const noexcept { return vocab_.has(id) && end_[static_cast<size_t>(id)]; }

std::string Tokenizer::bytes(int32_t id, bool special) const {
    if (!vocab_.has(id)) return {};
    const Token& token = vocab_.token(id);
    if (control_[static_cast<size_t>(id)]) return special ? std::string(token.text) : std::string();
    if (token.type == TokenType::user_defined) return std::string(token.text);
    return encoder_->bytes_of(token);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool special) const {
    Detokenizer stream(*this, special);
    std::string out;
    for (const int32_t id : ids) out += stream.push(id);
    return out + stream.finish();
}

std::string Detokenizer::push(int32_t id) {
    std::string bytes = tokenizer_->bytes(id, special_);
    if (first_ && !bytes.empty() && !tokenizer_->is_control(id)) {
        if (tokenizer_->strips_first_space() && bytes[0] == ' ') bytes.erase(0, 1);
        first_ = false;
    }
    waiting_ += bytes;
    const size_t whole = waiting_.size() - incomplete_utf8_suffix(waiting_);
    std::string out = replace_invalid_utf8(std::string_view(waiting_).substr(0, whole));
    waiting_.erase(0, whole);
    return out;
}

std::string Detokenizer::finish() {
    std::string out = replace_invalid_utf8(waiting_);
    waiting_.clear();
    first_ = true;
    return out;
}

}  // namespace elver
