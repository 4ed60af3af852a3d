#include "ops/ops.hpp"

#include <algorithm>
#include <cmath>

#include "base/checked.hpp"
#include "base/cpu.hpp"
#include "cpu/linear.hpp"
#include "kernels/select.hpp"
#include "quant/decode.hpp"
#include "quant/encode.hpp"
#include "quant/pack.hpp"

namespace elver {

namespace {

constexpr int64_t most = (int64_t{1} << 31) - 1024;  // of a dimension: kernels count in int

// Rows of activations multiplied at once: enough to hide a panel's expansion, few enough for products of 16 MiB.
size_t batch_rows(size_t row_floats) noexcept {
    return std::clamp<size_t>((size_t{16} << 20) / (row_floats * sizeof(float)), 16, 256);
}

}  // namespace

Result<void> check_rows(std::string_view name, int64_t n, int64_t width, int64_t stride) {
    if (n < 0 || n > most) return wrong(cat("rows of ", name), cat("0 to ", most), n);
    if (width < 1 || width > most) return wrong(cat("columns of ", name), cat("1 to ", most), width);
    if (n > 1 && stride < width) return wrong(cat(name, "_stride"), cat("at least ", width), stride);
    if (!checked_mul<int64_t>(std::max(stride, width), n * int64_t{sizeof(float)}))
        return wrong(cat(name, "_stride"), "a tensor that fits in memory", stride);
    return {};
}

Result<size_t> checked_rows_bytes(DType type, int64_t n_rows, int64_t k) {
    if (decoder(type) == nullptr)
        return Error(Status::unsupported, cat("dtype: expected a weight type, found ", dtype_name(type)), "dtype");
    if (n_rows < 0 || n_rows > most) return wrong("n_rows", cat("0 to ", most), n_rows);
    const int64_t block = dtype_info(type).block_size;
    if (k < block || k > most || k % block != 0)
        return wrong("k", cat("a multiple of ", block, " (the block of ", dtype_name(type), ")"), k);
    return row_bytes(type, static_cast<size_t>(k)) * static_cast<size_t>(n_rows);
}

Result<std::unique_ptr<Ops>> Ops::make(int n_threads, std::shared_ptr<ThreadPool> shared) {
    if (n_threads < 0) return wrong("n_threads", "0 or more", n_threads);
    const auto kernels = select_kernels();
    if (!kernels) return kernels.error();
    std::unique_ptr<Ops> ops(new Ops());
    ops->kernels_ = *kernels;
    ops->pool_ = std::move(shared);
    if (ops->pool_ == nullptr) {
        auto pool = ThreadPool::make(n_threads > 0 ? n_threads : usable_cores());
        if (!pool) return std::move(pool).error();
        ops->pool_ = *std::move(pool);
    }
    return ops;
}

Result<std::byte*> Ops::scratch(size_t n_bytes) {
    if (scratch_.size() < n_bytes) {
        scratch_ = AlignedBuffer();
        auto memory = AlignedBuffer::make(n_bytes, "scratch of an operation");
        if (!memory) return std::move(memory).error();
        scratch_ = *std::move(memory);
    }
    return scratch_.data();
}

namespace {

// What quantize and dequantize ask of both sides alike.
Result<void> check_codec(DType type, FloatRows x, size_t rows_size) {
    const auto n_bytes = checked_rows_bytes(type, x.n, x.width);
    if (!n_bytes) return n_bytes.error();
    if (rows_size != *n_bytes) return wrong("rows_size", cat(*n_bytes), static_cast<int64_t>(rows_size));
    return check_rows("x", x.n, x.width, x.stride);
}

}  // namespace

Result<void> Ops::quantize(DType type, FloatRows x, std::span<std::byte> rows) {
    if (auto fine = check_codec(type, x, rows.size()); !fine) return fine;
    if (encoder(type) == nullptr)
        return Error(Status::unsupported, cat("dtype: elver reads ", dtype_name(type), ", but does not write it"),
                     "dtype");
    const float greatest = greatest_encodable(type);
    for (int64_t r = 0; r < x.n; ++r) {
        const float *end = x.row(r) + x.width,
                    *bad = std::find_if_not(x.row(r), end, [&](float v) { return std::fabs(v) <= greatest; });
        if (bad == end) continue;
        const std::string expected =
            std::isfinite(*bad) ? cat("numbers that ", dtype_name(type), " holds, up to ", greatest) : "finite numbers";
        return Error(Status::invalid_argument,
                     cat("x: expected ", expected, ", found ", *bad, " in row ", r, ", column ", bad - x.row(r)), "x");
    }
    const size_t stride = row_bytes(type, static_cast<size_t>(x.width));
    pool_->parallel_for(static_cast<size_t>(x.n), 16, [&](size_t begin, size_t end) {
        for (size_t r = begin; r < end; ++r)
            encoder(type)(x.row(static_cast<int64_t>(r)), rows.data() + r * stride, static_cast<size_t>(x.width));
    });
    return {};
}

Result<void> Ops::dequantize(DType type, std::span<const std::byte> rows, MutableFloatRows x) {
    if (auto fine = check_codec(type, {x.data, x.n, x.width, x.stride}, rows.size()); !fine) return fine;
    const size_t stride = row_bytes(type, static_cast<size_t>(x.width));
    pool_->parallel_for(static_cast<size_t>(x.n), 64, [&](size_t begin, size_t end) {
        for (size_t r = begin; r < end; ++r)
            decoder(type)(rows.data() + r * stride, x.row(static_cast<int64_t>(r)), static_cast<size_t>(x.width));
    });
    return {};
}

Result<OwnMatrix> Ops::pack(DType type, std::span<const std::byte> rows, int64_t n_rows, int64_t k) {
    const auto n_bytes = checked_rows_bytes(type, n_rows, k);
    if (!n_bytes) return n_bytes.error();
    if (n_rows == 0) return wrong("n_rows", "1 or more", 0);
    if (rows.size() != *n_bytes) return wrong("rows_size", cat(*n_bytes), static_cast<int64_t>(rows.size()));
    const PackLayout* layout = pack_layout(type);
    if (layout == nullptr || kernels_->matmul(type) == nullptr)
        return Error(Status::unsupported, cat("dtype: no kernel multiplies ", dtype_name(type)), "dtype");
    const auto n = static_cast<size_t>(n_rows), columns = static_cast<size_t>(k), stride = row_bytes(type, columns);
    const size_t pack_bytes = kernels_->reads_packs ? layout->matrix_bytes(n, columns) : *n_bytes;
    auto memory = AlignedBuffer::make(pack_bytes, "a packed matrix");
    if (!memory) return std::move(memory).error();
    OwnMatrix out;
    out.memory_ = *std::move(memory);
    if (kernels_->reads_packs) {
        const size_t group = layout->group_bytes(columns);
        pool_->parallel_for(ceil_div(n, pack_rows), 4, [&](size_t begin, size_t end) {
            for (size_t g = begin; g < end; ++g) {
                const int here = static_cast<int>(std::min<size_t>(pack_rows, n - g * pack_rows));
                pack_group(*layout, rows.data() + g * pack_rows * stride, stride, here, columns,
                           out.memory_.data() + g * group);
            }
        });
    } else {
        std::copy(rows.begin(), rows.end(), out.memory_.data());
    }
    out.matrix_ = {type,       static_cast<int>(n_rows), static_cast<int>(k), out.memory_.data(),
                   pack_bytes, kernels_->matmul(type)};
    return out;
}

Result<void> Ops::matmul(const OwnMatrix& w, FloatRows x, const float* bias, MutableFloatRows y) {
    const PackedMatrix& m = w.matrix();
    if (const auto fine = check_rows("x", x.n, m.k, x.stride); !fine) return fine;
    if (const auto fine = check_rows("y", x.n, m.n_rows, y.stride); !fine) return fine;
    const auto k = static_cast<size_t>(m.k), padded = round_up(static_cast<size_t>(m.n_rows), 16);
    const size_t batch = std::min(batch_rows(padded), static_cast<size_t>(std::max<int64_t>(x.n, 1)));
    ActForms forms;
    forms.add(kernels_->form(m.type));
    const size_t shared_bytes = cpu::linear_shared_bytes(forms, batch, m.k, 1, false),
                 y_bytes = batch * padded * sizeof(float), bias_bytes = padded * sizeof(float),
                 own_acts_bytes = acts_bytes(forms, 1, k),
                 own_bytes = own_acts_bytes + round_up(matmul_scratch_bytes(std::max<size_t>(batch, 2)), 64);
    const auto n_workers = static_cast<size_t>(pool_->n_threads());
    const auto memory = scratch(shared_bytes + y_bytes + bias_bytes + own_bytes * n_workers);
    if (!memory) return memory.error();
    auto* const product = reinterpret_cast<float*>(*memory + shared_bytes);
    auto* const padded_bias = reinterpret_cast<float*>(*memory + shared_bytes + y_bytes);
    std::byte* const own = *memory + shared_bytes + y_bytes + bias_bytes;
    if (bias != nullptr) std::copy(bias, bias + m.n_rows, padded_bias);
    const cpu::LinearProduct products[] = {{&m, bias == nullptr ? nullptr : padded_bias, product, padded}};
    cpu::LinearArgs args;
    args.kernels = kernels_;
    args.pool = pool_.get();
    args.x_stride = static_cast<size_t>(x.stride);
    args.k = m.k;
    args.products = products;
    args.shared = *memory;
    for (int64_t first = 0; first < x.n; first += static_cast<int64_t>(batch)) {
        args.x = x.row(first);
        args.n = static_cast<int>(std::min(static_cast<int64_t>(batch), x.n - first));
        pool_->run([&](int worker) {
            std::byte* const at = own + own_bytes * static_cast<size_t>(worker);
            cpu::LinearArgs mine = args;
            mine.own = {nullptr, at, reinterpret_cast<float*>(at + own_acts_bytes)};
            cpu::linear_share(mine, worker);
        });
        for (int i = 0; i < args.n; ++i)
            std::copy_n(product + static_cast<size_t>(i) * padded, m.n_rows, y.row(first + i));
    }
    return {};
}

}  // namespace elver
