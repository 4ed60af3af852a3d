// A matrix of random blocks of any format with finite, moderate values.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "quant/decode.hpp"
#include "quant/pack.hpp"
#include "tensor/dtype.hpp"

namespace elver {

struct RandomMatrix {
    DType type;
    int n_rows, k;
    std::vector<std::byte> rows;  // as a file holds them

    RandomMatrix(DType t, int n, int columns, unsigned seed) : type(t), n_rows(n), k(columns) {
        std::mt19937 random(seed);
        const DTypeInfo& info = dtype_info(t);
        rows.resize(static_cast<size_t>(n) * row_bytes(t, static_cast<size_t>(columns)));
        std::vector<float> decoded(info.block_size);
        for (size_t at = 0; at < rows.size(); at += info.block_bytes) {
            bool fine = false;
            while (!fine) {
                for (size_t i = 0; i < info.block_bytes; ++i) rows[at + i] = static_cast<std::byte>(random());
                decoder(t)(&rows[at], decoded.data(), info.block_size);
                float peak = 0;
                for (float v : decoded) peak = std::isfinite(v) ? std::fmax(peak, std::fabs(v)) : INFINITY;
                fine = peak < 100.0f && (peak > 0.01f || t == DType::f32 || t == DType::f16 || t == DType::bf16);
            }
        }
    }

    std::vector<float> decode() const {
        std::vector<float> out(static_cast<size_t>(n_rows) * static_cast<size_t>(k));
        const size_t stride = row_bytes(type, static_cast<size_t>(k));
        for (int r = 0; r < n_rows; ++r) {
            decoder(type)(rows.data() + static_cast<size_t>(r) * stride,
                          out.data() + static_cast<size_t>(r) * static_cast<size_t>(k), static_cast<size_t>(k));
        }
        return out;
    }

    std::vector<std::byte> pack() const {
        const PackLayout& layout = *pack_layout(type);
        std::vector<std::byte> out(layout.matrix_bytes(static_cast<size_t>(n_rows), static_cast<size_t>(k)));
        const size_t stride = row_bytes(type, static_cast<size_t>(k)),
                     group = layout.group_bytes(static_cast<size_t>(k));
        for (int r = 0; r < n_rows; r += pack_rows) {
            pack_group(layout, rows.data() + static_cast<size_t>(r) * stride, stride, std::min(pack_rows, n_rows - r),
                       static_cast<size_t>(k), out.data() + static_cast<size_t>(r / pack_rows) * group);
        }
        return out;
    }
};

}  // namespace elver
