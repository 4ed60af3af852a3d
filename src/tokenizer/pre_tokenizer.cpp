#include "tokenizer/pre_tokenizer.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/text.hpp"

namespace elver {

namespace {

#define CONTRACTIONS "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define SPACE_TAIL "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define PUNCTUATION_WORD "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"

constexpr const char gpt2_words[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
constexpr const char deepseek_letters[] =
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-"
    "ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";

constexpr const char* gpt2[] = {gpt2_words, nullptr};
constexpr const char* digits_gpt2[] = {"\\p{N}", gpt2_words, nullptr};
constexpr const char* llama3[] = {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACE_TAIL, nullptr};
constexpr const char* qwen2[] = {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACE_TAIL, nullptr};
constexpr const char* qwen35[] = {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" SPACE_TAIL, nullptr};
constexpr const char* falcon[] = {"[\\p{P}\\$\\+<=>\\^~\\|`]+", gpt2_words, "[0-9][0-9][0-9]", nullptr};
constexpr const char* deepseek_llm[] = {"[\\r\\n]", deepseek_letters, "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", "[一-龥ࠀ-一가-퟿]+", "\\p{N}+", nullptr};
constexpr const char* deepseek_coder[] = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}", nullptr};
constexpr const char* deepseek_v3[] = {"\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
                                       PUNCTUATION_WORD "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" SPACE_TAIL, nullptr};
constexpr const char* bloom[] = {" ?[^(\\s|.,!?…。，、।۔،)]+", nullptr};
constexpr const char* viking[] = {" ?[^(\\s|.,!?…。，、।۔،)]+", "\\p{N}", nullptr};
constexpr const char* tekken[] = {"[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER
                                  "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACE_TAIL, nullptr};
constexpr const char* gpt4o[] = {"[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTIONS "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" CONTRACTIONS
                                 "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACE_TAIL, nullptr};
constexpr const char* bailing[] = {"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
                                   "|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+", nullptr};
constexpr const char* seed_coder[] = {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" SPACE_TAIL, nullptr};
constexpr const char* kimi[] = {"\\p{Han}+", "[^\\r\\n\\p{L}\\p{N}]?[^\\P{L}\\p{Han}]*" "[\\p{Ll}\\p{Lm}\\p{M}]+" CONTRACTIONS "?|[^\\r\\n\\p{L}\\p{N}]?[^\\P{L}\\p{Han}]+" CONTRACTIONS
                                "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACE_TAIL, nullptr};
constexpr const char* superbpe[] = {"\\p{N}+", "(?=(\\d{3})+(?!\\d))", nullptr};
constexpr const char* lines[] = {"[^\\n]+|[\\n]+", nullptr};
constexpr const char* words[] = {"\\S+", nullptr};
constexpr const char* minicpm5[] = {"\\p{N}{1,3}", CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}+| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACE_TAIL, nullptr};
constexpr const char* punctuation_gpt2[] = {"[\\p{P}\\$\\+<=>\\^~\\|]+", gpt2_words, "\\p{N}+", "[0-9][0-9][0-9]", nullptr};

constexpr PreTokenizerRule rules[] = {
    {.name = "default", .patterns = punctuation_gpt2},
    {.name = "gpt-2", .patterns = gpt2},
    {.name = "phi-2", .patterns = gpt2},
    {.name = "jina-es", .patterns = gpt2},
    {.name = "jina-de", .patterns = gpt2},
    {.name = "jina-v1-en", .patterns = gpt2},
    {.name = "jina-v2-es", .patterns = gpt2},
    {.name = "jina-v2-de", .patterns = gpt2},
    {.name = "jina-v2-code", .patterns = gpt2},
    {.name = "roberta-bpe", .patterns = gpt2},
    {.name = "modern-bert", .patterns = gpt2},
    {.name = "gigachat", .patterns = gpt2},
    {.name = "a.x-4.0", .patterns = gpt2},
    {.name = "mellum", .patterns = gpt2},
    {.name = "mpt", .patterns = gpt2, .nfc = true},
    {.name = "olmo", .patterns = gpt2},
    {.name = "jais", .patterns = gpt2},
    {.name = "trillion", .patterns = gpt2},
    {.name = "granite-docling", .patterns = gpt2},
    {.name = "exaone4", .patterns = gpt2},
    {.name = "gpt-neox", .patterns = gpt2, .nfc = true},
    {.name = "starcoder", .patterns = digits_gpt2},
    {.name = "refact", .patterns = digits_gpt2},
    {.name = "command-r", .patterns = digits_gpt2, .nfc = true},
    {.name = "smollm", .patterns = digits_gpt2},
    {.name = "codeshell", .patterns = digits_gpt2},
    {.name = "exaone", .patterns = digits_gpt2},
    {.name = "minerva-7b", .patterns = digits_gpt2},
    {.name = "mellum2", .patterns = digits_gpt2},
    {.name = "llama3", .patterns = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "llama-v3", .patterns = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "llama-bpe", .patterns = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "falcon3", .patterns = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "falcon-h1", .patterns = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "pixtral", .patterns = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "midm-2.0", .patterns = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "lfm2", .patterns = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "jina-v5-nano", .patterns = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "dbrx", .patterns = llama3},
    {.name = "smaug-bpe", .patterns = llama3},
    {.name = "chatglm-bpe", .patterns = llama3},
    {.name = "glm4", .patterns = llama3, .ignore_merges = true},
    {.name = "glm5", .patterns = llama3, .ignore_merges = true},
    {.name = "qwen2", .patterns = qwen2, .nfc = true},
    {.name = "deepseek-r1-qwen", .patterns = qwen2, .nfc = true},
    {.name = "kormo", .patterns = qwen2, .nfc = true},
    {.name = "f2llmv2", .patterns = qwen2, .nfc = true},
    {.name = "megrez", .patterns = qwen2},
    {.name = "stablelm2", .patterns = qwen2},
    {.name = "hunyuan", .patterns = qwen2},
    {.name = "solar-open", .patterns = qwen2},
    {.name = "grok-2", .patterns = qwen2},
    {.name = "qwen35", .patterns = qwen35, .nfc = true},
    {.name = "falcon", .patterns = falcon},
    {.name = "deepseek-llm", .patterns = deepseek_llm},
    {.name = "deepseek-coder", .patterns = deepseek_coder},
    {.name = "deepseek-v3", .patterns = deepseek_v3},
    {.name = "hunyuan-dense", .patterns = deepseek_v3},
    {.name = "joyai-llm", .patterns = deepseek_v3},
    {.name = "hy_v4", .patterns = deepseek_v3},
    {.name = "bloom", .patterns = bloom},
    {.name = "poro-chat", .patterns = bloom},
    {.name = "gpt3-finnish", .patterns = bloom},
    {.name = "viking", .patterns = viking},
    {.name = "tekken", .patterns = tekken, .ignore_merges = true, .add_bos = true},
    {.name = "gpt-4o", .patterns = gpt4o},
    {.name = "llama4", .patterns = gpt4o},
    {.name = "kanana2", .patterns = gpt4o},
    {.name = "talkie", .patterns = gpt4o},
    {.name = "minimax-m2", .patterns = gpt4o},
    {.name = "granite-embed-multi-97m", .patterns = gpt4o, .ignore_merges = true},
    {.name = "bailingmoe", .patterns = bailing},
    {.name = "bailingmoe2", .patterns = bailing},
    {.name = "llada-moe", .patterns = bailing},
    {.name = "seed-coder", .patterns = seed_coder},
    {.name = "kimi-k2", .patterns = kimi},
    {.name = "superbpe", .patterns = superbpe},
    {.name = "gemma4", .patterns = lines, .add_bos = true},
    {.name = "sarvam-moe", .patterns = lines},
    {.name = "whitespace", .patterns = words},
    {.name = "minicpm5", .patterns = minicpm5, .ignore_merges = true},
};

}  // namespace

const PreTokenizerRule* find_pre_tokenizer(std::string_view name) noexcept {
    for (const PreTokenizerRule& rule : rules) {
        if (name == rule.name) return &rule;
    }
    return nullptr;
}

struct PreTokenizer::Compiled {
    pcre2_code* code = nullptr;
    ~Compiled() { pcre2_code_free(code); }
};

PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

Result<PreTokenizer> PreTokenizer::make(const PreTokenizerRule& rule) {
    PreTokenizer out;
    for (const char* const* pattern = rule.patterns; *pattern != nullptr; ++pattern) {
        int code = 0;
        PCRE2_SIZE at = 0;
        auto compiled = std::make_unique<Compiled>();
        compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(*pattern), PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &at, nullptr);
        if (compiled->code == nullptr) {
            return Error(Status::internal, cat("pre-tokenizer ", quoted(rule.name), ": PCRE2 error ", code, " at byte ", at, " of its pattern"), rule.name);
        }
        pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE);  // without JIT the interpreter does the same, slower
        out.patterns_.push_back(std::move(compiled));
    }
    return out;
}

Result<std::vector<std::string_view>> PreTokenizer::split(std::string_view text) const {
    std::vector<std::string_view> pieces{text}, next;
    if (text.empty()) pieces.clear();
    for (const auto& pattern : patterns_) {
        const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
            pcre2_match_data_create_from_pattern(pattern->code, nullptr), pcre2_match_data_free);
        if (!match) return Error(Status::out_of_memory, "pre-tokenizer: no memory for a match");
        const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match.get());
        next.clear();
        for (const std::string_view piece : pieces) {
            size_t done = 0, at = 0;
            while (at <= piece.size() && !piece.empty()) {
                const int found = pcre2_match(pattern->code, reinterpret_cast<PCRE2_SPTR>(piece.data()), piece.size(), at, PCRE2_NO_UTF_CHECK, match.get(), nullptr);
                if (found == PCRE2_ERROR_NOMATCH) break;
                if (found < 0) return Error(Status::internal, cat("pre-tokenizer: PCRE2 error ", found, " at byte ", at, " of the text"), "text");
                if (span[0] > done) next.push_back(piece.substr(done, span[0] - done));
                if (span[1] > span[0]) next.push_back(piece.substr(span[0], span[1] - span[0]));
                done = span[1];
                at = span[1];
                if (span[1] == span[0]) {  // an empty match parts the text; go on behind the next character
                    do ++at;
                    while (at < piece.size() && (static_cast<unsigned char>(piece[at]) & 0xc0) == 0x80);
                }
            }
            if (done < piece.size()) next.push_back(piece.substr(done));
        }
        pieces.swap(next);
    }
    return pieces;
}

}  // namespace elver
