// Any bytes as a vocabulary and a text. Fields end with 0x1E, the items of a list with 0x1F: choices (family, rule of
// splitting, flags), tokens, types, merges, character map, text. A choice may put a sound vocabulary below the tokens.
#include <cstdlib>

#include "base/utf8.hpp"
#include "tokenizer/tokenizer.hpp"

namespace {

using namespace elver;

std::vector<std::string_view> cut(std::string_view text, char at) {
    std::vector<std::string_view> out;
    while (!text.empty()) {
        const size_t end = text.find(at);
        out.push_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return out;
}

// The bytes, as SentencePiece spells them, and GPT-2's for ASCII.
const std::vector<std::string>& sound() {
    static const std::vector<std::string> tokens = [] {
        std::vector<std::string> out;
        const char hex[] = "0123456789ABCDEF";
        for (int b = 0; b < 256; ++b) out.push_back({'<', '0', 'x', hex[b >> 4], hex[b & 15], '>'});
        for (char c = '!'; c <= '~'; ++c) out.emplace_back(1, c);
        out.insert(out.end(), {"\u2581", "\u0120", "\u010A", "th", "the", "aa", "aaaa", "[UNK]", "[CLS]"});
        return out;
    }();
    return tokens;
}

void check(bool holds) {
    if (!holds) std::abort();
}

void run(const Tokenizer& tokenizer, std::string_view text, bool parse_special) {
    const auto ids = tokenizer.encode(text, {.parse_special = parse_special});
    if (!ids) return check(ids.error().status() != Status::internal);
    check(ids->size() <= 4 * text.size() + 16);  // a replacement character is three bytes, and may be three tokens
    Detokenizer stream(tokenizer);
    std::string streamed;
    for (const int32_t id : *ids) {
        check(id >= 0 && id < tokenizer.n_vocab());
        const std::string part = stream.push(id);
        check(is_valid_utf8(part));
        streamed += part;
    }
    check(streamed + stream.finish() == tokenizer.decode(*ids));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const char* const models[] = {"llama",  "gpt2",   "bert",       "t5",   "rwkv",
                                         "gemma4", "plamo2", "whitespace", "none", "?"};
    static const char* const rules[] = {"gpt-2",    "llama-bpe",    "qwen2",   "deepseek-v3", "gpt-4o",    "tekken",
                                        "afmoe",    "bloom",        "falcon",  "exaone-moe",  "chameleon", "jais-2",
                                        "superbpe", "deepseek-llm", "kimi-k2", "tiny_aya",    "",          "?"};
    auto fields = cut({reinterpret_cast<const char*>(data), size}, '\x1E');
    fields.resize(6);
    const auto choice = [&](size_t i) { return i < fields[0].size() ? static_cast<unsigned char>(fields[0][i]) : 0u; };
    VocabSource source;
    source.name = "fuzz";
    source.model = models[choice(0) % std::size(models)];
    source.pre = rules[choice(1) % std::size(rules)];
    if ((choice(2) & 1) != 0) source.tokens.assign(sound().begin(), sound().end());
    for (const std::string_view token : cut(fields[1], '\x1F')) source.tokens.push_back(token);
    source.merges = cut(fields[3], '\x1F');
    source.charsmap = std::as_bytes(std::span(fields[4].data(), fields[4].size()));
    const size_t n_sound = (choice(2) & 1) != 0 ? 256 : 0;
    for (size_t i = 0; i < source.tokens.size(); ++i) {
        const size_t own = i - n_sound;
        source.types.push_back(i < n_sound ? 6 : own < fields[2].size() ? fields[2][own] & 7 : 1);
        source.scores.push_back(-static_cast<float>((i * 2654435761u >> 7) % 1000) / 8.0f);
    }
    const auto n = static_cast<int32_t>(source.tokens.size());
    if ((choice(2) & 2) != 0) source.unk = n - 1;
    if ((choice(2) & 4) != 0) source.bos = source.eos = 0;
    if ((choice(2) & 8) != 0) source.add_bos = source.add_eos = true;
    if ((choice(2) & 16) != 0) source.add_space_prefix = false;
    if ((choice(2) & 32) != 0) source.remove_extra_whitespaces = true;
    if ((choice(2) & 64) != 0) source.lowercase = source.strip_accents = false;
    if ((choice(2) & 128) != 0) source.architecture = "phi3";
    const auto tokenizer = Tokenizer::make(source);
    if (!tokenizer) return check(tokenizer.error().status() != Status::internal), 0;
    for (const bool special : {false, true}) run(**tokenizer, fields[5], special);
    return 0;
}
