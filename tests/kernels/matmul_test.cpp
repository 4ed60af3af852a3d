// Every level's products against double precision over the decoded weights, and bit for bit against themselves over
// batches.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "base/checked.hpp"
#include "kernels/select.hpp"
#include "random_matrix.hpp"

using namespace elver;

namespace {

const DType block_formats[] = {
#define ELVER_FORMAT(type, ...) DType::type,
#include "kernels/formats.inc"
#undef ELVER_FORMAT
};

std::vector<DType> all_formats() {
    std::vector<DType> out(std::begin(block_formats), std::end(block_formats));
    out.insert(out.end(), {DType::f32, DType::f16, DType::bf16});
    return out;
}

// Activations which 8 bits hold exactly: integers up to 127 with a peak of 127 in each block, times a power of two.
std::vector<float> exact_activations(int n, int k, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<float> x(static_cast<size_t>(n) * static_cast<size_t>(k));
    for (size_t i = 0; i < x.size(); ++i) {
        const int q = i % 32 == 5 ? 127 : static_cast<int>(random() % 255) - 127;
        x[i] = static_cast<float>(q) * std::ldexp(1.0f, -static_cast<int>(i / 32 % 5));
    }
    return x;
}

struct Product {
    std::vector<float> y;  // [n][padded rows]
    size_t stride;
};

Product multiply(const KernelTable& table, const RandomMatrix& w, const std::vector<float>& x, int n,
                 Finish finish = Finish::store, const std::vector<float>* initial = nullptr, int parts = 1) {
    const auto k = static_cast<size_t>(w.k);
    const size_t stride = round_up(static_cast<size_t>(w.n_rows), 16);
    Product p{std::vector<float>(stride * static_cast<size_t>(n)), stride};
    if (initial != nullptr) p.y = *initial;
    const std::vector<std::byte> pack = table.reads_packs ? w.pack() : w.rows;
    const auto tokens = static_cast<size_t>(n), n_parts = static_cast<size_t>(parts);
    ActForms forms;
    forms.add(table.form(w.type));
    std::vector<std::byte> memory(acts_bytes(forms, tokens, k, n_parts) + 64);
    auto* aligned = reinterpret_cast<std::byte*>(round_up(reinterpret_cast<uintptr_t>(memory.data()), 64));
    const Acts acts = PlacedActs(aligned, forms, tokens, k, n_parts).acts;
    table.quantize({x.data(), k, n, w.k, 0, n, acts, parts});
    std::vector<float> scratch(matmul_scratch_bytes(tokens * n_parts) / sizeof(float));
    MatmulArgs args{};
    args.pack = pack.data();
    args.k = w.k;
    args.n_rows = w.n_rows;
    args.n = n;
    args.parts = parts;
    args.acts = acts;
    args.x = x.data();
    args.x_stride = k;
    args.y = p.y.data();
    args.y_stride = stride;
    args.scale = 1.0f;
    args.finish = finish;
    args.group_begin = 0;
    args.group_end = static_cast<int>(stride / 16);
    args.scratch = scratch.data();
    table.matmul(w.type)(args);
    return p;
}

}  // namespace

TEST_CASE("matmul: every level and format against double precision, at odd shapes") {
    struct Size {
        int rows, k_blocks, n;
    };
    const Size sizes[] = {{1, 1, 1}, {16, 1, 3}, {17, 3, 1}, {33, 2, 7}, {50, 5, 13}, {32, 3, 37}};
    for (const char* level : available_kernels()) {
        const KernelTable& table = **find_kernels(level);
        for (DType type : all_formats()) {
            for (const Size& size : sizes) {
                const int block = static_cast<int>(dtype_info(type).block_size);
                const int k =
                    block == 1 ? size.k_blocks * 32 + (size.rows % 3) : size.k_blocks * block * (block == 32 ? 3 : 1);
                CAPTURE(level);
                CAPTURE(dtype_name(type));
                CAPTURE(size.rows);
                CAPTURE(k);
                CAPTURE(size.n);
                const RandomMatrix w(type, size.rows, k, 7);
                const std::vector<float> x = exact_activations(size.n, k, 3), decoded = w.decode();
                const Product p = multiply(table, w, x, size.n);
                double worst = 0;
                for (int t = 0; t < size.n; ++t) {
                    for (int r = 0; r < size.rows; ++r) {
                        double sum = 0, size_of_terms = 1e-30;
                        for (int i = 0; i < k; ++i) {
                            const double term = double(decoded[size_t(r) * size_t(k) + size_t(i)]) *
                                                x[size_t(t) * size_t(k) + size_t(i)];
                            sum += term;
                            size_of_terms += std::fabs(term);
                        }
                        worst = std::max(worst, std::fabs(p.y[size_t(t) * p.stride + size_t(r)] - sum) / size_of_terms);
                    }
                }
                CHECK(worst < 2e-6);
            }
        }
    }
}

TEST_CASE("activations: rows are cut into as few tiles as fit, whose widths differ by one at most") {
    for (int most : {1, 4, 6}) {
        for (int n = 1; n <= 100; ++n) {
            CAPTURE(most);
            CAPTURE(n);
            const ActTiles tiles(n, most);
            CHECK(tiles.count == (n + most - 1) / most);
            CHECK(tiles.begin(0) == 0);
            CHECK(tiles.begin(tiles.count) == n);
            for (int t = 0; t < tiles.count; ++t) {
                const int width = tiles.begin(t + 1) - tiles.begin(t);
                CHECK(width == tiles.width_of(t));
                CHECK((width == n / tiles.count || width == n / tiles.count + 1));
                for (int row = tiles.begin(t); row < tiles.begin(t + 1); ++row) CHECK(tiles.of(row) == t);
            }
        }
    }
}

TEST_CASE("matmul: a token's result has the same bits alone and in any batch") {
    for (const char* level : available_kernels()) {
        const KernelTable& table = **find_kernels(level);
        for (DType type : all_formats()) {
            const auto block = dtype_info(type).block_size;
            const int k = block == 256 ? 768 : block == 32 ? 1312 : 1313;  // more than one panel
            const RandomMatrix w(type, 48, k, 11);
            std::mt19937 random(5);
            std::normal_distribution<float> normal;
            std::vector<float> x(static_cast<size_t>(70 * k));
            for (float& v : x) v = normal(random);
            for (int parts : {1, 2}) {
                const Product whole = multiply(table, w, x, 70, Finish::store, nullptr, parts);
                for (int n : {1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 16, 17, 32, 33}) {
                    const std::vector<float> first(x.begin(), x.begin() + n * k);
                    const Product part = multiply(table, w, first, n, Finish::store, nullptr, parts);
                    CAPTURE(level);
                    CAPTURE(dtype_name(type));
                    CAPTURE(n);
                    CAPTURE(parts);
                    CHECK(std::equal(part.y.begin(), part.y.end(), whole.y.begin()));
                }
            }
        }
    }
}

TEST_CASE("matmul: activations of two parts lose a hundredth of what one part loses") {
    constexpr int n = 7, k = 512, n_rows = 33;
    std::mt19937 random(17);
    std::normal_distribution<float> normal;
    std::vector<float> x(n * k);
    for (float& v : x) v = normal(random);
    for (const char* level : available_kernels()) {
        const KernelTable& table = **find_kernels(level);
        if (!table.reads_packs) continue;
        for (DType type : all_formats()) {
            if (table.form(type) == ActForm::floats) continue;
            const RandomMatrix w(type, n_rows, k, 23);
            const std::vector<float> decoded = w.decode();
            double error[2] = {};
            for (int parts : {1, 2}) {
                const Product p = multiply(table, w, x, n, Finish::store, nullptr, parts);
                for (size_t t = 0; t < n; ++t)
                    for (size_t r = 0; r < n_rows; ++r) {
                        double sum = 0;
                        for (size_t i = 0; i < k; ++i) sum += double(decoded[r * k + i]) * x[t * k + i];
                        error[parts - 1] += std::pow(p.y[t * p.stride + r] - sum, 2);
                    }
            }
            CAPTURE(level);
            CAPTURE(dtype_name(type));
            CHECK(std::sqrt(error[1]) < 0.01 * std::sqrt(error[0]));
            CHECK(error[0] > 0);
        }
    }
}

TEST_CASE("matmul: what happens where the product lands") {
    struct Row {
        Finish finish;
        double (*expected)(double y, double v);
    };
    const Row rows[] = {
        {Finish::add, [](double y, double v) { return y + v; }},
        {Finish::silu, [](double, double v) { return v / (1 + std::exp(-v)); }},
        {Finish::relu, [](double, double v) { return std::max(v, 0.0); }},
        {Finish::relu2, [](double, double v) { return std::max(v, 0.0) * std::max(v, 0.0); }},
        {Finish::tanh, [](double, double v) { return std::tanh(v); }},
        {Finish::sigmoid, [](double, double v) { return 1 / (1 + std::exp(-v)); }},
        {Finish::mul_silu_clamped,
         [](double y, double v) {
             const double g = std::min(y, 7.0), u = std::clamp(v, -7.0, 7.0);
             return g / (1 + std::exp(-1.702 * g)) * (u + 1);
         }},
        {Finish::mul_silu, [](double y, double v) { return y / (1 + std::exp(-y)) * v; }},
        {Finish::mul_relu, [](double y, double v) { return std::max(y, 0.0) * v; }},
        {Finish::mul_gelu, [](double y, double v) { return 0.5 * y * (1 + std::erf(y / std::sqrt(2.0))) * v; }},
        {Finish::mul_gelu_tanh,
         [](double y, double v) {
             return 0.5 * y * (1 + std::tanh(std::sqrt(2 / M_PI) * (y + 0.044715 * y * y * y))) * v;
         }},
    };
    const RandomMatrix w(DType::q4_0, 20, 64, 3);
    std::vector<float> x = exact_activations(9, 64, 1), y(9 * 32);
    for (float& v : x) v /= 4096;
    for (size_t i = 0; i < y.size(); ++i) y[i] = static_cast<float>(static_cast<int>(i % 41) - 20) / 2;
    for (const char* level : available_kernels()) {
        const KernelTable& table = **find_kernels(level);
        const Product plain = multiply(table, w, x, 9);
        for (const Row& row : rows) {
            const Product p = multiply(table, w, x, 9, row.finish, &y);
            for (size_t i = 0; i < y.size(); ++i) {
                if (i % 32 >= 20) continue;
                const double expected = row.expected(y[i], plain.y[i]);
                CHECK(p.y[i] == doctest::Approx(expected).epsilon(1e-5));
            }
        }
    }
}
