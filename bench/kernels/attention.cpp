// Attention over a cache and the pool's barrier: attention_f16/avx512vnni/9x64x512 is 9 query heads over 3 key heads of
// 64 dims, 512 tokens at once into an empty cache; attend_... one token behind as many.
#include <cstring>
#include <string>
#include <vector>

#include "cpu/attention.hpp"
#include "kernels/machine.hpp"
#include "kernels/select.hpp"

namespace elver::bench {

namespace {

struct Heads {
    int n_heads, n_kv_heads, dim;
};

void attention(benchmark::State& state, const KernelTable& kernels, CacheType type, Heads h, int n_keys, bool all) {
    const auto width = static_cast<size_t>(h.n_heads * h.dim);
    auto cache = KvCache::make({{h.n_kv_heads, h.dim, h.dim, 0}}, type, n_keys, n_keys);
    if (!cache) std::abort();
    std::vector<float> row(static_cast<size_t>(h.dim), 0.5f);
    for (int pos = 0; pos < n_keys; ++pos)
        for (int head = 0; head < h.n_kv_heads; ++head)
            kernels.cache_write({cache->shape(0), row.data(), row.data(), cache->page(0, head, pos / page_positions),
                                 pos % page_positions});
    const int n = all ? n_keys : 1, n_workers = pool().n_threads();
    std::vector<float> q(static_cast<size_t>(n) * width + 16, 0.01f), out(static_cast<size_t>(n) * width + 16);
    std::vector<int32_t> pos(static_cast<size_t>(n));
    for (int i = 0; i < n; ++i) pos[static_cast<size_t>(i)] = n_keys - n + i;
    const size_t own = attention_scratch_bytes(h.dim, cache->shape(0).v_width()) / sizeof(float) + 64;
    std::vector<float> scratch(own * static_cast<size_t>(n_workers));
    const cpu::Segment segment{&*cache, nullptr, 0, n, n_keys - n};
    cpu::AttendArgs args{};
    args.kernels = &kernels;
    args.segments = {&segment, 1};
    args.n_heads = h.n_heads;
    args.n_kv_heads = h.n_kv_heads;
    args.q = q.data();
    args.q_stride = args.out_stride = width;
    args.out = out.data();
    args.pos = pos.data();
    args.max_parts = static_cast<int>(cpu::max_ranges(n_keys));
    std::vector<float> parts(cpu::max_ranges(n_keys) * static_cast<size_t>(h.n_heads) *
                             attention_part({CacheType::q8_0, h.dim, h.dim}));
    args.parts = parts.data();
    args.pool = &pool();
    Measured measured(state, kernels);
    for (auto _ : state)
        pool().run([&](int w) { cpu::attend_share(args, scratch.data() + own * static_cast<size_t>(w), w); });
    const double calls = static_cast<double>(state.iterations());
    const double pairs = all ? 0.5 * n * (n + 1.0) : n_keys;
    const double pages = (n_keys + page_positions - 1) / page_positions;
    measured.report(calls * pairs * h.n_heads * h.dim * 4,
                    all ? 0 : calls * h.n_kv_heads * pages * cache->shape(0).page_bytes());
}

void barrier(benchmark::State& state) {
    constexpr int n = 1000;
    for (auto _ : state)
        pool().run([&](int) {
            for (int i = 0; i < n; ++i) pool().barrier();
        });
    state.counters["ns"] = benchmark::Counter(static_cast<double>(state.iterations()) * n * 1e-9,
                                              benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

}  // namespace

void register_attention() {
    for (const char* level : available_kernels()) {
        const KernelTable* kernels = *find_kernels(level);
        if (kernels->peak_dots == nullptr) continue;
        for (const Heads h : {Heads{9, 3, 64}, Heads{32, 8, 128}, Heads{4, 1, 256}}) {
            struct Type {
                const char* name;
                CacheType type;
            };
            for (const Type t : {Type{"f16", CacheType::f16}, Type{"q8_0", CacheType::q8_0}}) {
                for (const int n_keys : {512, 4096}) {
                    for (const bool all : {true, false}) {
                        if (all && n_keys > 512) continue;
                        const std::string name = std::string(all ? "attention_" : "attend_") + t.name + "/" + level +
                                                 "/" + std::to_string(h.n_heads) + "x" + std::to_string(h.dim) + "x" +
                                                 std::to_string(n_keys);
                        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
                            attention(state, *kernels, t.type, h, n_keys, all);
                        });
                    }
                }
            }
        }
    }
    benchmark::RegisterBenchmark("barrier", barrier);
}

}  // namespace elver::bench
