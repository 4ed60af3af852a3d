// Products of every format, level and shape: gemv_q4_0/avx512vnni/4096x4096 is a matrix of 4096 rows by 4096 columns
// with one token, read from memory; gemm_q4_0/avx512vnni/4096x4096x512 the same with 512 tokens.
#include <cstring>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/checked.hpp"
#include "kernels/machine.hpp"
#include "kernels/random_matrix.hpp"
#include "kernels/select.hpp"

namespace elver::bench {

namespace {

struct Size {
    int n_rows, k;
};

AlignedBuffer zeros(size_t n_bytes) {
    auto made = AlignedBuffer::make(n_bytes, "a benchmark");
    if (!made) std::abort();
    std::memset(made->data(), 0, n_bytes);
    return *std::move(made);
}

// As many copies of a packed matrix as a cache cannot hold. Its rows repeat after 64: kernels do not look at values.
struct Weights {
    size_t matrix_bytes;
    int n_copies;
    AlignedBuffer memory;

    Weights(DType type, Size size, bool from_memory) {
        constexpr int n_random = 64;
        const std::vector<std::byte> few = RandomMatrix(type, n_random, size.k, 1).pack();
        matrix_bytes = few.size() / n_random * static_cast<size_t>(size.n_rows);
        n_copies = from_memory ? static_cast<int>(ceil_div(size_t{160} << 20, matrix_bytes)) : 1;
        memory = zeros(matrix_bytes * static_cast<size_t>(n_copies));
        for (size_t at = 0; at < memory.size(); at += few.size())
            std::memcpy(memory.data() + at, few.data(), std::min(few.size(), memory.size() - at));
    }
    const std::byte* copy(int i) const { return memory.data() + static_cast<size_t>(i % n_copies) * matrix_bytes; }
};

void product(benchmark::State& state, const KernelTable& kernels, DType type, Size size, int n) {
    const auto k = static_cast<size_t>(size.k), tokens = static_cast<size_t>(n),
               rows = static_cast<size_t>(size.n_rows);
    const auto n_workers = static_cast<size_t>(pool().n_threads());
    const bool from_memory = n <= 32;
    const Weights weights(type, size, from_memory);
    std::vector<float> x(tokens * k);
    std::mt19937 random(3);
    for (float& v : x) v = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
    ActForms forms;
    forms.add(kernels.form(type));
    AlignedBuffer acts = zeros(acts_bytes(forms, tokens, k)), y = zeros(tokens * rows * sizeof(float)),
                  scratch = zeros(n_workers * round_up(matmul_scratch_bytes(tokens), 64));
    MatmulArgs args{};
    args.k = size.k;
    args.n_rows = size.n_rows;
    args.n = n;
    args.acts = PlacedActs(acts.data(), forms, tokens, k).acts;
    args.x = x.data();
    args.x_stride = k;
    args.y = y.as<float>(0);
    args.y_stride = rows;
    args.finish = Finish::store;
    kernels.quantize({x.data(), k, n, size.k, 0, n, args.acts});
    const auto matmul = kernels.matmul(type);
    Measured measured(state, kernels);
    int call = 0;
    for (auto _ : state) {
        args.pack = weights.copy(call++);
        pool().run([&](int worker) {
            MatmulArgs mine = args;
            const Share panels = share(size.n_rows / 32, worker, static_cast<int>(n_workers));
            mine.scratch = scratch.as<float>(static_cast<size_t>(worker) * round_up(matmul_scratch_bytes(tokens), 64));
            mine.group_begin = 2 * panels.begin;
            mine.group_end = 2 * panels.end;
            matmul(mine);
        });
    }
    const double calls = static_cast<double>(state.iterations());
    measured.report(2.0 * calls * static_cast<double>(n) * static_cast<double>(rows * k),
                    from_memory ? calls * static_cast<double>(weights.matrix_bytes) : 0.0);
}

}  // namespace

void register_matmul() {
    const DType types[] = {
#define ELVER_FORMAT(type, ...) DType::type,
#include "kernels/formats.inc"
#undef ELVER_FORMAT
        DType::f32, DType::f16, DType::bf16};
    const Size sizes[] = {{4096, 4096}, {1536, 576}};
    for (const Size size : sizes) {
        for (const char* level : available_kernels()) {
            const KernelTable* kernels = *find_kernels(level);
            if (kernels->peak_dots == nullptr) continue;
            for (const DType type : types) {
                if (size.k % static_cast<int>(dtype_info(type).block_size) != 0) continue;
                for (const int n : {1, 2, 4, 6, 7, 8, 16, 32, 512}) {
                    std::string name = std::string(n == 1 ? "gemv_" : "gemm_") + std::string(dtype_name(type));
                    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
                    name += "/" + std::string(level) + "/" + std::to_string(size.n_rows) + "x" + std::to_string(size.k);
                    if (n > 1) name += "x" + std::to_string(n);
                    benchmark::RegisterBenchmark(
                        name.c_str(), [=](benchmark::State& state) { product(state, *kernels, type, size, n); });
                }
            }
        }
    }
}

}  // namespace elver::bench
