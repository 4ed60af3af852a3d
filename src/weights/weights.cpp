#include "weights/weights.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "base/checked.hpp"
#include "base/text.hpp"
#include "quant/decode.hpp"
#include "quant/pack.hpp"

namespace elver {

int Weights::add(const GgufTensor& tensor, int64_t first, int64_t count, bool is_matrix, size_t n_bytes) {
    entries_.push_back({&tensor, first, count, is_matrix, n_bytes_, n_bytes});
    wanted_.insert(&tensor);
    n_bytes_ += round_up(n_bytes, 64);
    return static_cast<int>(entries_.size()) - 1;
}

Result<int> Weights::add_matrix(const GgufTensor& tensor, int64_t first_row, int64_t n_rows) {
    const DType type = tensor.view.type;
    const PackLayout* layout = pack_layout(type);
    if (kernels_->matmul(type) == nullptr || layout == nullptr) {
        return Error(
            Status::unsupported,
            cat(file_->name(), ": tensor ", in_quotes(tensor.name), ": no kernel multiplies ", dtype_name(type)),
            std::string(tensor.name));
    }
    const auto k = static_cast<size_t>(tensor.view.shape.columns());
    return add(tensor, first_row, n_rows, true,
               kernels_->reads_packs ? layout->matrix_bytes(static_cast<size_t>(n_rows), k) : 0);
}

Result<int> Weights::add_vector(const GgufTensor& tensor, int64_t first, int64_t n) {
    const DType type = tensor.view.type;
    if (dtype_info(type).block_size != 1 || decoder(type) == nullptr) {
        return Error(Status::unsupported,
                     cat(file_->name(), ": tensor ", in_quotes(tensor.name), ": expected F32, F16 or BF16, found ",
                         dtype_name(type)),
                     std::string(tensor.name));
    }
    return add(tensor, first, n, false, round_up(static_cast<size_t>(n), 16) * sizeof(float));
}

void Weights::fill_vector(const Entry& e) noexcept {
    const std::byte* source =
        e.tensor->view.bytes.data() + static_cast<size_t>(e.first) * dtype_info(e.tensor->view.type).block_bytes;
    decoder(e.tensor->view.type)(source, arena_.as<float>(e.offset), static_cast<size_t>(e.count));
}

Result<void> Weights::load(ThreadPool& pool, const Progress& progress, const CancelToken* cancel) {
    auto arena = AlignedBuffer::make(n_bytes_, cat(file_->name(), ": weights"));
    if (!arena) return std::move(arena).error();
    arena_ = *std::move(arena);
    size_t done = 0;
    bool stop = false;
    std::vector<const Entry*> order;
    for (const Entry& e : entries_) order.push_back(&e);
    std::sort(order.begin(), order.end(),
              [](const Entry* a, const Entry* b) { return a->tensor->offset < b->tensor->offset; });
    for (const Entry* e : order) {
        if (!e->is_matrix) {
            fill_vector(*e);
            continue;
        }
        if (e->n_bytes == 0) continue;  // the reference level reads the file's rows
        const PackLayout& layout = *pack_layout(e->tensor->view.type);
        const auto k = static_cast<size_t>(e->tensor->view.shape.columns());
        const size_t stride = row_bytes(e->tensor->view.type, k), group = layout.group_bytes(k);
        const auto n_rows = static_cast<size_t>(e->count), n_groups = ceil_div(n_rows, pack_rows);
        // Steps of about 16 MiB of source: often enough to cancel and to give pages back.
        const size_t step = std::max<size_t>(1, (size_t{16} << 20) / (stride * pack_rows));
        for (size_t at = 0; at < n_groups && !stop; at += step) {
            const size_t end = std::min(n_groups, at + step);
            const std::byte* rows = e->tensor->view.row(e->first);
            pool.parallel_for(end - at, std::max<size_t>(1, (end - at) / (8 * static_cast<size_t>(pool.n_threads()))),
                              [&](size_t first, size_t last) {
                                  for (size_t g = at + first; g < at + last; ++g) {
                                      if (cancel != nullptr && cancel->cancelled()) return;
                                      const int here =
                                          static_cast<int>(std::min<size_t>(pack_rows, n_rows - g * pack_rows));
                                      pack_group(layout, rows + g * pack_rows * stride, stride, here, k,
                                                 arena_.data() + e->offset + g * group);
                                  }
                              });
            const size_t source_offset = e->tensor->offset + (static_cast<size_t>(e->first) + at * pack_rows) * stride;
            file_->source().release(source_offset, (end - at) * pack_rows * stride);
            done += (end - at) * group;
            stop = (cancel != nullptr && cancel->cancelled()) ||
                   (progress && !progress(static_cast<double>(done) / static_cast<double>(n_bytes_)));
        }
        if (stop) break;
    }
    if (!stop && progress) stop = !progress(1.0);
    if (!stop) return {};
    arena_ = AlignedBuffer();
    return Error(Status::cancelled, cat(file_->name(), ": loading was cancelled"), file_->name());
}

PackedMatrix Weights::matrix(int number) const noexcept {
    const Entry& e = entries_[static_cast<size_t>(number)];
    const TensorView& view = e.tensor->view;
    PackedMatrix m;
    m.type = view.type;
    m.n_rows = static_cast<int>(e.count);
    m.k = static_cast<int>(view.shape.columns());
    m.data = e.n_bytes == 0 ? view.row(e.first) : arena_.size() == 0 ? nullptr : arena_.data() + e.offset;
    m.n_bytes =
        e.n_bytes == 0 ? static_cast<size_t>(e.count) * row_bytes(view.type, static_cast<size_t>(m.k)) : e.n_bytes;
    m.matmul = kernels_->matmul(view.type);
    return m;
}

const float* Weights::vector(int number) const noexcept {
    if (arena_.size() == 0) return nullptr;
    return reinterpret_cast<const float*>(arena_.data() + entries_[static_cast<size_t>(number)].offset);
}

}  // namespace elver
