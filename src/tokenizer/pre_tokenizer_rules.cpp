// The table of pre-tokenizers: what each tokenizer.ggml.pre name stands for. Patterns are those of the models'
// published tokenizer.json, where a class or a repeat had to be written in another way for PCRE2 or for linear time
// with the same matches.
#include <algorithm>
#include <iterator>

#include "base/text.hpp"
#include "tokenizer/pre_tokenizer.hpp"
#include "tokenizer/vocab.hpp"

namespace elver {

namespace {

#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORD "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define SYMBOLS " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define SYMBOLS_SLASH " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(suffix) \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" suffix "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" suffix
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define ASCII_PUNCTUATION "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]"
#define PUNCTUATED_WORD ASCII_PUNCTUATION "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
// CJK, kana, hangul as DeepSeek's tokenizers list them
#define CJK_HANGUL "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
#define CJK_KANA "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"
// Kimi K2 writes these two as UPPER and LOWER without Han, by class intersection
#define UPPER_NOT_HAN "[^\\p{Ll}\\p{N}\\p{P}\\p{S}\\p{Z}\\p{C}\\p{sc:Han}]"
#define LOWER_NOT_HAN "[^\\p{Lu}\\p{Lt}\\p{N}\\p{P}\\p{S}\\p{Z}\\p{C}\\p{sc:Han}]"
// Cased letters of Latin, Greek, Cyrillic and other alphabets, as DeepSeek LLM lists them
#define DEEPSEEK_LETTERS                                                                                           \
    "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}"                \
    "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}" \
    "\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}"     \
    "\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}"              \
    "\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}"              \
    "\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}"      \
    "\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}"     \
    "\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}"      \
    "\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}"                \
    "\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}"      \
    "\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"               \
    "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}"              \
    "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}"        \
    "\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"

constexpr SplitStep gpt2[] = {{GPT2}};
constexpr SplitStep digits_gpt2[] = {{"\\p{N}"}, {GPT2}};
constexpr SplitStep llama3[] = {{CONTRACTION "|" WORD "|\\p{N}{1,3}|" SYMBOLS "|" SPACES}};
constexpr SplitStep qwen2[] = {{CONTRACTION "|" WORD "|\\p{N}|" SYMBOLS "|" SPACES}};
constexpr SplitStep lines_qwen2[] = {{"[^\\n]+|[\\n]+"}, qwen2[0]};
constexpr SplitStep qwen35[] = {{CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"
                                             "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES}};
constexpr SplitStep no_contractions[] = {{WORD "|\\p{N}|" SYMBOLS "|" SPACES}};
constexpr SplitStep jais2[] = {{CONTRACTION "|" WORD "|\\p{N}{1,3}|" SYMBOLS
                                            "|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)"
                                            "|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)"
                                            "|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"}};
constexpr SplitStep falcon[] = {{"[\\p{P}\\$\\+<=>\\^~\\|`]+"}, {GPT2}, {"[0-9][0-9][0-9]"}};
constexpr SplitStep unnamed[] = {{"[\\p{P}\\$\\+<=>\\^~\\|]+"}, {GPT2}, {"\\p{N}+"}, {"[0-9][0-9][0-9]"}};
constexpr SplitStep deepseek_llm[] = {
    {"[\\r\\n]"},
    {"\\s?[" DEEPSEEK_LETTERS "]+"},
    {"\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+"},
    {"(?<!\\s)\\s++\\z"},  // \s+$, looked for at the start of a run only
    {CJK_HANGUL},
    {"\\p{N}"},
};
constexpr SplitStep deepseek_coder[] = {{"[\\r\\n]"}, {"\\s?\\p{L}+"}, {"\\s?\\p{P}+"}, {CJK_HANGUL}, {"\\p{N}"}};
constexpr SplitStep deepseek_v3[] = {
    {"\\p{N}{1,3}"}, {CJK_KANA}, {PUNCTUATED_WORD "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES}};
constexpr SplitStep spark[] = {
    {"\\p{N}{1,3}"}, {CJK_KANA}, {PUNCTUATED_WORD "| ?[\\p{P}\\p{S}]+|[\\r\\n]|\\s+(?!\\S)|\\s+"}, {"\\p{N}"}};
constexpr SplitStep afmoe[] = {
    {"\\p{N}+", Cut::thirds},
    // CJK, kana, Thai, Lao, Khmer, Burmese, hangul
    {"[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{f900}-\\x{faff}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}\\x{ff65}-\\x{"
     "ff9f}"
     "\\x{2f00}-\\x{2fdf}\\x{e40}-\\x{e7f}\\x{e80}-\\x{eff}\\x{1780}-\\x{17ff}\\x{1000}-\\x{109f}\\x{aa60}-\\x{aa7f}"
     "\\x{a9e0}-\\x{a9ff}\\x{ac00}-\\x{d7af}\\x{1100}-\\x{11ff}]+"},
    {PUNCTUATED_WORD "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES}};
constexpr SplitStep youtu[] = {
    // hangul; Chinese punctuation; bopomofo; CJK and kana
    {"[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}\\x{2019}\\x{2014}"
     "\\x{ff1a}\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]+|[\\x{3105}-\\x{312f}]+|" CJK_KANA},
    {CASED(CONTRACTION "?") "|\\p{N}|" SYMBOLS_SLASH "|" SPACES}};
// Letters outside this punctuation, full stops of several scripts among it
#define BLOOM " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"
constexpr SplitStep bloom[] = {{BLOOM}};
constexpr SplitStep viking[] = {{BLOOM}, {"\\p{N}"}};
constexpr SplitStep tekken[] = {{CASED("") "|\\p{N}|" SYMBOLS_SLASH "|" SPACES}};
constexpr SplitStep gpt4o[] = {{CASED(CONTRACTION "?") "|\\p{N}{1,3}|" SYMBOLS_SLASH "|" SPACES}};
// \d{1,3}(?=(?:\d{3})*\b), which would look to the end of the number from each of its digits
constexpr SplitStep thousands_gpt4o[] = {
    {"(?<!\\d)\\d++(?![\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}])", Cut::thirds},
    gpt4o[0]};
// \p{N}+, then (?=(\d{3})+(?!\d)), likewise
constexpr SplitStep superbpe[] = {{"\\p{N}+"}, {"(?<!\\d)\\d++", Cut::inside}};
constexpr SplitStep kimi[] = {{"\\p{sc:Han}+|[^\\r\\n\\p{L}\\p{N}]?" UPPER_NOT_HAN "*" LOWER_NOT_HAN "+" CONTRACTION
                               "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER_NOT_HAN "+" LOWER_NOT_HAN "*" CONTRACTION
                               "?|\\p{N}{1,3}|" SYMBOLS "|" SPACES}};
constexpr SplitStep bailing[] = {
    {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}"
     "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}};
constexpr SplitStep seed_coder[] = {{CONTRACTION "|" WORD "|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACES}};
constexpr SplitStep exaone_moe[] = {{CONTRACTION
                                     "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*+(?: \\p{L}\\p{M}*+)*+)++|\\p{N}"
                                     "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}};
constexpr SplitStep chameleon[] = {
    {"<sentinel:[0-9]+>"}, {"IMGIMG[A-I]{1,4}Z"}, {"[\\t\\n]|    |  "}, {"\\p{N}"}, {"[\\p{P}!-/:-@\\[-`{-~]"}, {GPT2}};
constexpr SplitStep minicpm5[] = {{"\\p{N}{1,3}"}, {CONTRACTION "|" WORD "|\\p{N}+|" SYMBOLS "|" SPACES}};
constexpr SplitStep lines[] = {{"[^\\n]+|[\\n]+"}};
constexpr SplitStep words[] = {{"\\S+"}};

constexpr PreTokenizerRule rules[] = {
    {.name = "default", .steps = unnamed},
    {.name = "gpt-2", .steps = gpt2},
    {.name = "phi-2", .steps = gpt2},
    {.name = "gigachat", .steps = gpt2},
    {.name = "a.x-4.0", .steps = gpt2},
    {.name = "mellum", .steps = gpt2},
    {.name = "jais", .steps = gpt2},
    {.name = "trillion", .steps = gpt2},
    {.name = "granite-docling", .steps = gpt2},
    {.name = "exaone4", .steps = gpt2},
    {.name = "jina-es", .steps = gpt2},
    {.name = "jina-de", .steps = gpt2},
    {.name = "gpt-neox", .steps = gpt2, .nfc = true},
    {.name = "mpt", .steps = gpt2, .nfc = true},
    {.name = "olmo", .steps = gpt2, .nfc = true},
    {.name = "jina-v2-es", .steps = gpt2, .mask_eats_space_before = true},
    {.name = "jina-v2-de", .steps = gpt2, .mask_eats_space_before = true},
    {.name = "jina-v2-code", .steps = gpt2, .mask_eats_space_before = true},
    {.name = "jina-v1-en", .steps = gpt2, .mask_eats_space_before = true},
    {.name = "roberta-bpe", .steps = gpt2, .mask_eats_space_before = true},
    {.name = "modern-bert", .steps = gpt2, .nfc = true, .mask_eats_space_before = true},
    {.name = "starcoder", .steps = digits_gpt2},
    {.name = "refact", .steps = digits_gpt2},
    {.name = "smollm", .steps = digits_gpt2},
    {.name = "codeshell", .steps = digits_gpt2},
    {.name = "exaone", .steps = digits_gpt2},
    {.name = "minerva-7b", .steps = digits_gpt2},
    {.name = "mellum2", .steps = digits_gpt2},
    {.name = "command-r", .steps = digits_gpt2, .nfc = true},
    {.name = "llama3", .steps = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "llama-v3", .steps = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "llama-bpe", .steps = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "falcon3", .steps = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "falcon-h1", .steps = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "pixtral", .steps = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "midm-2.0", .steps = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "lfm2", .steps = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "jina-v5-nano", .steps = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "dbrx", .steps = llama3},
    {.name = "smaug-bpe", .steps = llama3},
    {.name = "chatglm-bpe", .steps = llama3},
    {.name = "glm4", .steps = llama3, .ignore_merges = true},
    {.name = "glm5", .steps = llama3, .ignore_merges = true},
    {.name = "jais-2", .steps = jais2},
    {.name = "qwen2", .steps = qwen2, .nfc = true},
    {.name = "deepseek-r1-qwen", .steps = qwen2, .nfc = true},
    {.name = "kormo", .steps = qwen2, .nfc = true},
    {.name = "f2llmv2", .steps = qwen2, .nfc = true},
    {.name = "megrez", .steps = qwen2},
    {.name = "stablelm2", .steps = qwen2},
    {.name = "hunyuan", .steps = qwen2},
    {.name = "solar-open", .steps = qwen2},
    {.name = "grok-2", .steps = qwen2},
    {.name = "laguna", .steps = lines_qwen2},
    {.name = "qwen35", .steps = qwen35, .nfc = true},
    {.name = "ufakzeka", .steps = no_contractions},
    {.name = "falcon", .steps = falcon},
    {.name = "deepseek-llm", .steps = deepseek_llm},
    {.name = "deepseek-coder", .steps = deepseek_coder},
    {.name = "deepseek-v3", .steps = deepseek_v3},
    {.name = "hunyuan-dense", .steps = deepseek_v3},
    {.name = "joyai-llm", .steps = deepseek_v3},
    {.name = "hy_v4", .steps = deepseek_v3},
    {.name = "spark2_5", .steps = spark},
    {.name = "afmoe", .steps = afmoe},
    {.name = "youtu", .steps = youtu, .ignore_merges = true},
    {.name = "bloom", .steps = bloom},
    {.name = "poro-chat", .steps = bloom},
    {.name = "gpt3-finnish", .steps = bloom},
    {.name = "viking", .steps = viking},
    {.name = "tekken", .steps = tekken, .ignore_merges = true, .add_bos = true},
    {.name = "gpt-4o", .steps = gpt4o},
    {.name = "llama4", .steps = gpt4o},
    {.name = "kanana2", .steps = gpt4o},
    {.name = "talkie", .steps = gpt4o},
    {.name = "minimax-m2", .steps = gpt4o},
    {.name = "granite-embed-multi-97m", .steps = gpt4o, .ignore_merges = true},
    {.name = "tiny_aya", .steps = thousands_gpt4o},
    {.name = "cohere2moe", .steps = thousands_gpt4o},
    {.name = "superbpe", .steps = superbpe},
    {.name = "kimi-k2", .steps = kimi, .ranks_by_id = true},
    {.name = "bailingmoe", .steps = bailing},
    {.name = "bailingmoe2", .steps = bailing},
    {.name = "llada-moe", .steps = bailing},
    {.name = "seed-coder", .steps = seed_coder},
    {.name = "exaone-moe", .steps = exaone_moe},
    {.name = "chameleon", .steps = chameleon, .add_bos = true},
    {.name = "minicpm5", .steps = minicpm5, .ignore_merges = true},
    {.name = "gemma4", .steps = lines, .add_bos = true, .whole_newlines = true, .spelling = Spelling::marked},
    {.name = "granite-embed-multi-311m",
     .steps = lines,
     .add_bos = true,
     .whole_newlines = true,
     .spelling = Spelling::marked},
    {.name = "sarvam-moe", .steps = lines, .spelling = Spelling::marked},
    {.name = "whitespace", .steps = words, .drops_white_space = true, .spelling = Spelling::plain},
};

// Families whose older files do not name their pre-tokenizer.
struct Unnamed {
    const char* model;         // tokenizer.ggml.model
    const char* architecture;  // null: any
    const char* pre;
};
constexpr Unnamed unnamed_families[] = {
    {"gpt2", "gptneox", "gpt-neox"},
    {"gpt2", nullptr, "gpt-2"},
    {"gemma4", nullptr, "gemma4"},
    {"whitespace", nullptr, "whitespace"},
};

}  // namespace

std::span<const PreTokenizerRule> pre_tokenizer_rules() noexcept {
    return rules;
}

const PreTokenizerRule* find_pre_tokenizer(std::string_view name) noexcept {
    const auto row =
        std::find_if(std::begin(rules), std::end(rules), [&](const auto& rule) { return rule.name == name; });
    return row == std::end(rules) ? nullptr : row;
}

Result<const PreTokenizerRule*> pre_tokenizer_of(const VocabSource& source) {
    std::string_view name = source.pre;
    if (name.empty()) {
        for (const Unnamed& family : unnamed_families) {
            if (source.model != family.model) continue;
            if (family.architecture != nullptr && source.architecture != family.architecture) continue;
            name = family.pre;
            break;
        }
    }
    if (const PreTokenizerRule* rule = find_pre_tokenizer(name)) return rule;
    return Error(Status::unsupported,
                 cat(source.name, ": key \"tokenizer.ggml.pre\": expected a pre-tokenizer that elver knows, found ",
                     in_quotes(name)),
                 "tokenizer.ggml.pre");
}

}  // namespace elver
