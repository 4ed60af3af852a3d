// The passes over logits: against double precision, and the same bits on every level.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/select.hpp"

using namespace elver;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// Five blocks; one has logits far below the peak, one is minus infinity but for one.
std::vector<float> some_logits(unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, 6.0f);
    std::vector<float> logits(5 * logit_block);
    for (float& v : logits) v = normal(random);
    for (int i = 0; i < logit_block; ++i) {
        logits[size_t(2 * logit_block + i)] -= 200.0f;
        logits[size_t(3 * logit_block + i)] = -infinity;
    }
    logits[3 * logit_block + 7] = 3.0f;
    return logits;
}

}  // namespace

TEST_CASE("logits: peaks and sums of blocks are right, and have the same bits on every level") {
    for (unsigned seed = 0; seed < 20; ++seed) {
        const auto logits = some_logits(seed);
        for (const float scale : {0.1f, 1.0f, 1.0f / 0.7f, 50.0f}) {
            std::vector<float> first;
            for (const char* name : available_kernels()) {
                CAPTURE(name);
                const auto table = find_kernels(name);
                REQUIRE(table);
                std::vector<float> peaks(5), sums(5);
                REQUIRE((*table)->logit_peaks(logits.data(), 5, peaks.data()));
                float peak = -infinity;
                for (size_t b = 0; b < 5; ++b) {
                    const auto from = logits.begin() + std::ptrdiff_t(b) * logit_block;
                    CHECK(peaks[b] == *std::max_element(from, from + logit_block));
                    peak = std::max(peak, peaks[b]);
                }
                (*table)->logit_sums(logits.data(), 5, peak, scale, sums.data());
                for (size_t b = 0; b < 5; ++b) {
                    double sum = 0;
                    for (int i = 0; i < logit_block; ++i)
                        sum += std::exp((double(logits[b * logit_block + size_t(i)]) - double(peak)) * double(scale));
                    CHECK(std::fabs(double(sums[b]) - sum) <= 3e-6 * sum + 1e-35);
                }
                if (first.empty()) first = sums;
                CHECK(std::memcmp(first.data(), sums.data(), sums.size() * sizeof(float)) == 0);
            }
        }
    }
}

TEST_CASE("logits: what is not a number, and plus infinity, is told wherever it stands") {
    for (const char* name : available_kernels()) {
        CAPTURE(name);
        const auto table = find_kernels(name);
        REQUIRE(table);
        for (const float bad :
             {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(), infinity}) {
            for (size_t at = 0; at < 2 * logit_block; ++at) {
                std::vector<float> logits(2 * logit_block, 1.0f), peaks(2);
                logits[5] = -infinity;
                CHECK((*table)->logit_peaks(logits.data(), 2, peaks.data()));
                logits[at] = bad;
                CHECK(!(*table)->logit_peaks(logits.data(), 2, peaks.data()));
            }
        }
    }
}
