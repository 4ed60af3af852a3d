// Random blocks decode to finite values of the deviation asked for, and are the same every time.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "quant/decode.hpp"
#include "quant/random.hpp"

using namespace elver;

TEST_CASE("random weights: mean about 0, the deviation asked for within a factor of two, reproducible") {
    int n_types = 0;
    for (uint32_t id = 0; id < 64; ++id) {
        const auto type = dtype_from_gguf(id);
        if (!type || !has_random(*type)) continue;
        ++n_types;
        CAPTURE(dtype_name(*type));
        const DTypeInfo& info = dtype_info(*type);
        const size_t n = 256 * 64, n_blocks = n / info.block_size;
        for (const float deviation : {0.3f, 0.01f}) {
            CAPTURE(deviation);
            std::vector<std::byte> blocks(n_blocks * info.block_bytes), again(blocks.size()), other(blocks.size());
            fill_random(*type, 1, deviation, blocks.data(), n_blocks);
            fill_random(*type, 1, deviation, again.data(), n_blocks);
            fill_random(*type, 2, deviation, other.data(), n_blocks);
            CHECK(blocks == again);
            CHECK(blocks != other);
            std::vector<float> values(n);
            decoder (*type)(blocks.data(), values.data(), n);
            double sum = 0, squares = 0;
            for (const float v : values) sum += double(v), squares += double(v) * double(v);
            const double mean = sum / double(n), found = std::sqrt(squares / double(n) - mean * mean);
            CHECK(std::fabs(mean) < 0.3 * double(deviation));
            CHECK(found > 0.5 * double(deviation));
            CHECK(found < 2.0 * double(deviation));
        }
    }
    CHECK(n_types >= 16);
}
