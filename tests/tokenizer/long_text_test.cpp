// Time and memory grow with a text, not with its square: one letter, no spaces, only spaces, long runs of bytes.
#include <chrono>
#include <functional>

#include "vocabularies.hpp"

using namespace elver;
using namespace elver::test;

namespace {

double seconds_of(const std::function<void()>& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string repeated(const std::string& text, size_t n_bytes) {
    std::string out;
    while (out.size() < n_bytes) out += text;
    return out;
}

}  // namespace

TEST_CASE("tokenizers: a megabyte takes some four times as long as a quarter of it") {
    constexpr size_t quarter = size_t{1} << 18;
    for (const char* name : {"bpe", "gemma4", "spm", "unigram", "wordpiece", "rwkv"}) {
        const auto tokenizer = golden_tokenizer(name);
        for (const char* unit : {"a", " ", "\n", "abcdefghij", "\U0001F680", "a1!", "e\u0301", "<|im_start|", "'"}) {
            CAPTURE(name);
            CAPTURE(unit);
            const std::string small = repeated(unit, quarter), large = repeated(unit, 4 * quarter);
            size_t n_small = 0, n_large = 0;
            const auto encode = [&](const std::string& text, size_t& n) {
                const auto ids = tokenizer->encode(text, {.add_special = false, .parse_special = true});
                REQUIRE(ids);
                n = ids->size();
            };
            // A square law gives 16. What takes next to no time is not judged; another try, where the machine was busy.
            double few = 0, many = 0;
            const auto linear = [&] { return many < 0.2 || many / few < 10; };
            for (int i = 0; i == 0 || (i < 3 && !linear()); ++i) {
                few = seconds_of([&] { encode(small, n_small); });
                many = seconds_of([&] { encode(large, n_large); });
            }
            CHECK(n_small <= small.size() + 1);
            CHECK(n_large <= large.size() + 1);
            CHECK_MESSAGE(linear(), few, " s and ", many, " s");
        }
    }
}

TEST_CASE("tokenizers: a long text comes back") {
    for (const char* name : {"bpe", "gemma4", "spm", "rwkv"}) {
        CAPTURE(name);
        const auto tokenizer = golden_tokenizer(name);
        const std::string text = repeated("One line of text, \u00e9\u4e16\U0001F680 and 12345.\n", 1 << 20);
        const auto ids = tokenizer->encode(text, {.add_special = false});
        REQUIRE(ids);
        CHECK(tokenizer->decode(*ids) == text);
    }
}
