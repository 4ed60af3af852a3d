// The frame around a family's encoder: special tokens out of the text, the plain pieces through the encoder, BOS and
// EOS where the model wants them.
#include "tokenizer/tokenizer.hpp"

#include <utility>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "tokenizer/text_encoder.hpp"

namespace elver {

namespace {

constexpr size_t longest_text = size_t{1} << 30;  // symbols are counted in int

// Models whose special tokens take the white space behind them, as their tokenizer.json says; GGUF has no key for it.
struct EatsRight {
    const char *architecture, *model;
    std::vector<std::string_view> except;
};

SpaceEaters eaters_of(const VocabSource& source, const Vocab& vocab, const EncoderDefaults& defaults) {
    static const EatsRight rows[] = {{"phi3", "llama", {"<s>", "<unk>", "<|endoftext|>"}}};
    SpaceEaters out;
    if (defaults.mask_eats_space_before) out.left = vocab.mask;
    for (const EatsRight& row : rows) {
        if (source.architecture != row.architecture || source.model != row.model) continue;
        out.right = true;
        out.right_except = row.except;
    }
    return out;
}

void take_default(const Vocab& vocab, std::optional<int32_t>& id, int32_t fallback) {
    if (!id && vocab.has(fallback)) id = fallback;
}

}  // namespace

Tokenizer::Tokenizer() = default;
Tokenizer::~Tokenizer() = default;

Result<std::shared_ptr<const Tokenizer>> Tokenizer::make(const VocabSource& source) {
    const auto family = family_of(source);
    if (!family) return family.error();
    return make(source, **family);
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::make_textless(const VocabSource& source) {
    return make(source, {.model = "none", .make = elver::make_textless});
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::make(const VocabSource& source, const Family& family) {
    const std::shared_ptr<Tokenizer> t(new Tokenizer());
    const bool textless = family.make == elver::make_textless;
    if (!textless || !source.tokens.empty()) {
        auto vocab = Vocab::make(source);
        if (!vocab) return std::move(vocab).error();
        t->vocab_ = *std::move(vocab);
    }
    Vocab& v = t->vocab_;
    take_default(v, v.bos, family.bos);
    take_default(v, v.eos, family.eos);
    take_default(v, v.unk, family.unk);
    take_default(v, v.sep, family.sep);
    take_default(v, v.pad, family.pad);
    take_default(v, v.cls, family.cls);
    take_default(v, v.mask, family.mask);
    correct_types(v, source.templates);
    auto encoder = family.make(source, v);
    if (!encoder) return std::move(encoder).error();
    t->encoder_ = *std::move(encoder);
    t->special_ = SpecialTokens(v, eaters_of(source, v, t->encoder_->defaults()));
    t->frame(source);
    return std::shared_ptr<const Tokenizer>(t);
}

void Tokenizer::frame(const VocabSource& source) {
    const EncoderDefaults defaults = encoder_->defaults();
    strips_first_space_ = defaults.space_before;
    if (defaults.always_framed) {
        first_ = vocab_.cls ? vocab_.cls : vocab_.bos;
        last_ = vocab_.sep ? vocab_.sep : vocab_.eos;
        return;
    }
    if (source.add_bos.value_or(defaults.add_bos)) first_ = vocab_.bos;
    if (source.add_eos.value_or(defaults.add_eos)) last_ = vocab_.eos;
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
    if (text.size() > longest_text) {
        return Error(Status::invalid_argument,
                     cat("text: expected up to ", longest_text, " bytes, found ", text.size()), "text");
    }
    std::string repaired;
    const bool valid = is_valid_utf8(text);
    if (!valid) text = repaired = replace_invalid_utf8(text);
    const Ranges none, all(0, text.size());
    const Ranges& typed = !options.parse_special || (options.typed && !valid) ? all
                          : options.typed                                     ? *options.typed
                                                                              : none;
    std::vector<int32_t> out;
    if (options.add_special && first_) out.push_back(*first_);
    for (const SpecialTokens::Piece& piece : special_.split(text, typed)) {
        if (piece.id >= 0) {
            out.push_back(piece.id);
            continue;
        }
        auto done = encoder_->encode(text.substr(piece.begin, piece.end - piece.begin), out);
        if (!done) return std::move(done).error();
    }
    if (options.add_special && last_) out.push_back(*last_);
    return out;
}

std::string Tokenizer::bytes(int32_t id, bool special) const {
    if (!vocab_.has(id)) return {};
    const Token& token = vocab_.token(id);
    if (special_.is_control(id)) return special ? std::string(token.text) : std::string();
    return encoder_->bytes_of(token);
}

std::string_view Tokenizer::lasting_bytes(int32_t id) const {
    if (!vocab_.has(id)) return {};
    std::call_once(bytes_made_, [this] {
        std::string all;
        std::vector<size_t> at{0};
        at.reserve(static_cast<size_t>(n_vocab()) + 1);
        for (int32_t i = 0; i < n_vocab(); ++i) {
            all += bytes(i, true);
            at.push_back(all.size());
        }
        all_bytes_ = std::move(all);
        bytes_at_ = std::move(at);
    });
    const auto i = static_cast<size_t>(id);
    return std::string_view(all_bytes_).substr(bytes_at_[i], bytes_at_[i + 1] - bytes_at_[i]);
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
