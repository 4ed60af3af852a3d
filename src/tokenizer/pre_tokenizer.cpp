// The passes of a pre-tokenizer over PCRE2 (UTF, UCP, with its JIT where there is one). A part grows through the
// passes: each splits what the one before it left.
#include "tokenizer/pre_tokenizer.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <string>

#include "base/text.hpp"
#include "tokenizer/unicode.hpp"

namespace elver {

namespace {

// A match takes steps in proportion to its length; what needs more than this many a byte is not linear.
constexpr size_t steps_per_byte = 64;
constexpr size_t base_steps = 1'000'000;
constexpr uint32_t heap_limit_kib = 256 * 1024;

template <auto Free>
struct Deleter {
    template <class T>
    void operator()(T* p) const noexcept {
        Free(p);
    }
};
using Code = std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;

bool is_continuation(char c) noexcept {
    return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}

// PCRE2's own \s has U+180E, which lost White_Space in Unicode 6.3.
std::string with_unicode_spaces(std::string_view pattern) {
    return replace_all(replace_all(pattern, "\\s", "\\p{White_Space}"), "\\S", "\\P{White_Space}");
}

void cut_thirds(std::string_view digits, std::vector<std::string_view>& out) {
    size_t n_chars = 0;
    for (const char c : digits) n_chars += !is_continuation(c);
    size_t begin = 0;
    for (size_t at = 1; at <= digits.size(); ++at) {
        if (at < digits.size() && is_continuation(digits[at])) continue;
        if (--n_chars % 3 != 0) continue;
        out.push_back(digits.substr(begin, at - begin));
        begin = at;
    }
}

}  // namespace

struct PreTokenizer::Pass {
    Code code;
    Cut cut;

    Result<void> split(std::string_view part, pcre2_match_data* match, pcre2_match_context* context,
                       std::vector<std::string_view>& out) const;
    int find(std::string_view part, size_t from, pcre2_match_data* match, pcre2_match_context* context) const;
    void take(std::string_view part, size_t& done, size_t begin, size_t end, std::vector<std::string_view>& out) const;
};

PreTokenizer::PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

Result<PreTokenizer> PreTokenizer::make(const PreTokenizerRule& rule) {
    PreTokenizer out;
    for (const SplitStep& step : rule.steps) {
        const std::string pattern = with_unicode_spaces(step.pattern);
        int error = 0;
        PCRE2_SIZE at = 0;
        auto pass = std::make_unique<Pass>();
        pass->cut = step.cut;
        pass->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                       PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr));
        if (!pass->code) {
            return Error(error == PCRE2_ERROR_HEAP_FAILED ? Status::out_of_memory : Status::internal,
                         cat("pre-tokenizer ", in_quotes(rule.name), ": PCRE2 error ", error, " at byte ", at,
                             " of its pattern ", in_quotes(pattern)),
                         rule.name);
        }
        pcre2_jit_compile(pass->code.get(), PCRE2_JIT_COMPLETE);  // without JIT the interpreter does the same, slower
        out.passes_.push_back(std::move(pass));
    }
    return out;
}

int PreTokenizer::Pass::find(std::string_view part, size_t from, pcre2_match_data* match,
                             pcre2_match_context* context) const {
    const auto subject = reinterpret_cast<PCRE2_SPTR>(part.data());
    int found = pcre2_match(code.get(), subject, part.size(), from, PCRE2_NO_UTF_CHECK, match, context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {  // a very long match; the interpreter keeps its stack in the heap
        found = pcre2_match(code.get(), subject, part.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match, context);
    }
    return found;
}

void PreTokenizer::Pass::take(std::string_view part, size_t& done, size_t begin, size_t end,
                              std::vector<std::string_view>& out) const {
    if (cut != Cut::inside) {
        if (begin > done) out.push_back(part.substr(done, begin - done));
        if (end > begin) {
            if (cut == Cut::thirds)
                cut_thirds(part.substr(begin, end - begin), out);
            else
                out.push_back(part.substr(begin, end - begin));
        }
        done = end;
        return;
    }
    std::vector<std::string_view> groups;
    cut_thirds(part.substr(begin, end - begin), groups);
    for (const std::string_view group : groups) {  // a cut before each group of exactly three
        if (std::count_if(group.begin(), group.end(), [](char c) { return !is_continuation(c); }) < 3) continue;
        const size_t at = static_cast<size_t>(group.data() - part.data());
        if (at > done) out.push_back(part.substr(done, at - done));
        done = at;
    }
}

Result<void> PreTokenizer::Pass::split(std::string_view part, pcre2_match_data* match, pcre2_match_context* context,
                                       std::vector<std::string_view>& out) const {
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match);
    size_t done = 0;
    for (size_t at = 0; at < part.size();) {
        const int found = find(part, at, match, context);
        if (found == PCRE2_ERROR_NOMATCH) break;
        if (found < 0) {
            return Error(found == PCRE2_ERROR_NOMEMORY ? Status::out_of_memory : Status::unsupported,
                         cat("text: cannot be split into words at byte ", at, " of a part of ", part.size(),
                             " bytes (PCRE2 error ", found, ")"),
                         "text");
        }
        take(part, done, span[0], span[1], out);
        at = span[1];
        if (span[1] == span[0]) {  // an empty match: go on behind the next character
            do ++at;
            while (at < part.size() && is_continuation(part[at]));
        }
    }
    if (done < part.size()) out.push_back(part.substr(done));
    return {};
}

Result<std::vector<std::string_view>> PreTokenizer::split(std::string_view text) const {
    std::vector<std::string_view> parts, next;
    if (!text.empty()) parts.push_back(text);
    const MatchContext context(pcre2_match_context_create(nullptr));
    if (!context) return Error(Status::out_of_memory, "pre-tokenizer: no memory for a match");
    const size_t steps = std::min<size_t>(base_steps + steps_per_byte * text.size(), UINT32_MAX);
    pcre2_set_match_limit(context.get(), static_cast<uint32_t>(steps));
    pcre2_set_heap_limit(context.get(), heap_limit_kib);
    for (const auto& pass : passes_) {
        const MatchData match(pcre2_match_data_create_from_pattern(pass->code.get(), nullptr));
        if (!match) return Error(Status::out_of_memory, "pre-tokenizer: no memory for a match");
        next.clear();
        for (const std::string_view part : parts) {
            if (auto done = pass->split(part, match.get(), context.get(), next); !done) {
                return std::move(done).error();
            }
        }
        parts.swap(next);
    }
    return parts;
}

}  // namespace elver
