#include "weights/weights.hpp"

#include <algorithm>
#include <atomic>
#include <exception>

#include "base/checked.hpp"
#include "base/text.hpp"
#include "quant/decode.hpp"
#include "quant/pack.hpp"

namespace elver {

WeightRef Weights::add(const GgufTensor& tensor, int64_t first, int64_t count, Kind kind, size_t n_bytes) {
    entries_.push_back({&tensor, first, count, kind, n_bytes_, n_bytes});
    matrices_.push_back(kind == Kind::matrix ? resolve(entries_.back()) : PackedMatrix{});
    wanted_.insert(&tensor);
    n_bytes_ += round_up(n_bytes, 64);
    return {static_cast<int>(entries_.size()) - 1};
}

Result<WeightRef> Weights::add_matrix(const GgufTensor& tensor, int64_t first_row, int64_t n_rows) {
    const DType type = tensor.view.type;
    const PackLayout* layout = pack_layout(type);
    if (kernels_->matmul(type) == nullptr || layout == nullptr) {
        return Error(
            Status::unsupported,
            cat(file_->name(), ": tensor ", in_quotes(tensor.name), ": no kernel multiplies ", dtype_name(type)),
            std::string(tensor.name));
    }
    const auto k = static_cast<size_t>(tensor.view.shape.columns());
    if (tensor.packed) {
        if (!kernels_->reads_packs || !whole_groups(tensor, first_row, n_rows)) {
            return Error(Status::mismatch,
                         cat(file_->name(), ": tensor ", in_quotes(tensor.name), ": its pack (", pack_name,
                             ") cannot be read by the level ", kernels_->name, " as rows ", first_row, " to ",
                             first_row + n_rows, "; use the file that it was made from"),
                         std::string(tensor.name));
        }
        mapped_bytes_ += layout->matrix_bytes(static_cast<size_t>(n_rows), k);
        return add(tensor, first_row, n_rows, Kind::matrix, 0);
    }
    return add(tensor, first_row, n_rows, Kind::matrix,
               kernels_->reads_packs ? layout->matrix_bytes(static_cast<size_t>(n_rows), k) : 0);
}

Result<WeightRef> Weights::add_vector(const GgufTensor& tensor, int64_t first, int64_t n) {
    const DType type = tensor.view.type;
    if (dtype_info(type).block_size != 1 || decoder(type) == nullptr || tensor.packed) {
        return Error(Status::unsupported,
                     cat(file_->name(), ": tensor ", in_quotes(tensor.name), ": expected F32, F16 or BF16, found ",
                         tensor.packed ? "a pack of " : "", dtype_name(type)),
                     std::string(tensor.name));
    }
    return add(tensor, first, n, Kind::vector, round_up(static_cast<size_t>(n), 16) * sizeof(float));
}

Result<WeightRef> Weights::add_rows(const GgufTensor& tensor) {
    if (decoder(tensor.view.type) == nullptr || tensor.packed) {
        return Error(Status::unsupported,
                     cat(file_->name(), ": tensor ", in_quotes(tensor.name), ": cannot decode rows of ",
                         tensor.packed ? "a pack of " : "", dtype_name(tensor.view.type)),
                     std::string(tensor.name));
    }
    return add(tensor, 0, tensor.view.shape.rows(), Kind::rows, 0);
}

bool Weights::quantizes() const noexcept {
    return std::any_of(entries_.begin(), entries_.end(), [](const Entry& e) {
        return e.kind == Kind::matrix && dtype_info(e.tensor->view.type).block_size > 1;
    });
}

// The work of load, in the order of the file's parts: runs of groups with about 1 MiB of source, so that the pages in
// memory are bounded, storage is read ahead, and a wish to cancel is seen within a millisecond.
struct Weights::Piece {
    const Entry* entry;
    size_t first_group, end_group;  // of a matrix
    const ByteSource* file;         // the part that holds the tensor
    size_t source, source_bytes;    // there
    size_t n_bytes;                 // in the arena
};

std::vector<Weights::Piece> Weights::pieces() const {
    std::vector<Piece> out;
    for (const Entry& e : entries_) {
        const DType type = e.tensor->view.type;
        const ByteSource* file = &file_->source(*e.tensor);
        const auto count = static_cast<size_t>(e.count);
        if (e.kind == Kind::vector) {
            const size_t element = dtype_info(type).block_bytes;
            out.push_back({&e, 0, 0, file, e.tensor->offset + static_cast<size_t>(e.first) * element, count * element,
                           e.n_bytes});
        } else if (e.n_bytes > 0) {
            const size_t k = static_cast<size_t>(e.tensor->view.shape.columns()), stride = row_bytes(type, k);
            const size_t n_groups = ceil_div(count, pack_rows), group = pack_layout(type)->group_bytes(k);
            const size_t step = std::max<size_t>(1, (size_t{1} << 20) / (stride * pack_rows));
            for (size_t at = 0; at < n_groups; at += step) {
                const size_t end = std::min(n_groups, at + step), row = static_cast<size_t>(e.first) + at * pack_rows;
                out.push_back({&e, at, end, file, e.tensor->offset + row * stride,
                               (std::min(count, end * pack_rows) - at * pack_rows) * stride, (end - at) * group});
            }
        }
    }
    std::sort(out.begin(), out.end(), [](const Piece& a, const Piece& b) {
        const uint32_t p = a.entry->tensor->part, q = b.entry->tensor->part;
        return p != q ? p < q : a.source < b.source;
    });
    return out;
}

void Weights::fill(const Piece& piece, const std::atomic<bool>& stop, const CancelToken* cancel) noexcept {
    const Entry& e = *piece.entry;
    const std::byte* source = piece.file->bytes().data() + piece.source;
    if (e.kind == Kind::vector) {
        decoder(e.tensor->view.type)(source, arena_.as<float>(e.offset), static_cast<size_t>(e.count));
        return;
    }
    const PackLayout& layout = *pack_layout(e.tensor->view.type);
    const auto k = static_cast<size_t>(e.tensor->view.shape.columns());
    const size_t stride = row_bytes(e.tensor->view.type, k), group = layout.group_bytes(k);
    const auto n_rows = static_cast<size_t>(e.count);
    for (size_t g = piece.first_group; g < piece.end_group; ++g) {
        if (stop.load(std::memory_order_relaxed) || (cancel != nullptr && cancel->cancelled())) return;
        const int here = static_cast<int>(std::min<size_t>(pack_rows, n_rows - g * pack_rows));
        pack_group(layout, source + (g - piece.first_group) * pack_rows * stride, stride, here, k,
                   arena_.data() + e.offset + g * group);
    }
}

Result<void> Weights::load(ThreadPool& pool, const Progress& progress, const CancelToken* cancel) {
    auto arena = AlignedBuffer::make(n_bytes_, cat(file_->name(), ": weights"));
    if (!arena) return std::move(arena).error();
    arena_ = *std::move(arena);
    const std::vector<Piece> all = pieces();
    std::atomic<size_t> next{0}, done{0};
    size_t end = 0;  // of the pieces that a run takes
    std::atomic<bool> stop{false};
    std::atomic<const Piece*> unreadable{nullptr};
    std::exception_ptr thrown;
    const auto work = [&](int worker) {
        constexpr size_t ahead = 8;
        while (!stop.load(std::memory_order_relaxed)) {
            const size_t i = next.fetch_add(1, std::memory_order_relaxed);
            if (i >= end) return;
            const Piece& piece = all[i];
            if (i + ahead < all.size()) {
                const Piece& later = all[i + ahead];
                later.file->will_need(later.source, later.source_bytes);
            }
            if (piece.file->read(piece.source, piece.source_bytes)) {
                fill(piece, stop, cancel);
                piece.file->release(piece.source, piece.source_bytes);
            } else {
                unreadable = &piece, stop = true;
            }
            const double sum = static_cast<double>(done.fetch_add(piece.n_bytes) + piece.n_bytes);
            if (cancel != nullptr && cancel->cancelled()) stop = true;
            if (worker == 0 && progress) {  // the caller's thread; what the caller throws may not pass the pool
                try {
                    if (!progress(std::min(1.0, sum / static_cast<double>(std::max<size_t>(n_bytes_, 1))))) stop = true;
                } catch (...) {
                    thrown = std::current_exception(), stop = true;
                }
            }
        }
    };
    // Between runs of some 64 MiB others who share the pool have their turns.
    constexpr size_t pieces_at_once = 64;
    for (size_t first = 0; first < all.size() && !stop; first = end) {
        next = first;
        end = std::min(all.size(), first + pieces_at_once);
        pool.run(work);
    }
    // Pages that pieces share, and those of the metadata, which sessions do not read.
    for (const ByteSource& part : file_->parts()) part.release(0, part.bytes().size());
    if (!stop && progress) stop = !progress(1.0);
    if (stop) arena_ = AlignedBuffer();
    for (size_t i = 0; i < entries_.size(); ++i) {
        if (entries_[i].kind == Kind::matrix) matrices_[i] = resolve(entries_[i]);
    }
    if (!stop) return {};
    if (thrown) std::rethrow_exception(thrown);
    if (const Piece* piece = unreadable) {
        return Error(Status::io,
                     cat(piece->file->name(), ": tensor ", in_quotes(piece->entry->tensor->name),
                         ": cannot read bytes ", piece->source, " to ", piece->source + piece->source_bytes),
                     std::string(piece->entry->tensor->name));
    }
    return Error(Status::cancelled, cat(file_->name(), ": loading was cancelled"), file_->name());
}

PackedMatrix Weights::resolve(const Entry& e) const noexcept {
    const TensorView& view = e.tensor->view;
    PackedMatrix m;
    m.type = view.type;
    m.n_rows = static_cast<int>(e.count);
    m.k = static_cast<int>(view.shape.columns());
    const auto k = static_cast<size_t>(m.k);
    if (e.tensor->packed) {
        const PackLayout& layout = *pack_layout(view.type);
        m.data = view.bytes.data() + static_cast<size_t>(e.first) / pack_rows * layout.group_bytes(k);
        m.n_bytes = layout.matrix_bytes(static_cast<size_t>(e.count), k);
    } else if (e.n_bytes == 0) {  // the reference level reads the file's rows
        m.data = view.row(e.first);
        m.n_bytes = static_cast<size_t>(e.count) * row_bytes(view.type, k);
    } else {
        m.data = arena_.size() == 0 ? nullptr : arena_.data() + e.offset;
        m.n_bytes = e.n_bytes;
    }
    m.matmul = kernels_->matmul(view.type);
    return m;
}

const float* Weights::vector(WeightRef ref) const noexcept {
    if (!ref.there() || arena_.size() == 0) return nullptr;
    return reinterpret_cast<const float*>(arena_.data() + entries_[static_cast<size_t>(ref.number)].offset);
}

Result<void> Weights::write_packed(ThreadPool& pool, const ByteSink& sink, const Progress& progress) const {
    if (!kernels_->reads_packs) {
        return Error(Status::unsupported, cat("the level ", kernels_->name, " reads no packs; pack with another"),
                     "isa");
    }
    // A tensor becomes a pack if all that is wanted of it are whole groups of rows. One whose rows are decoded, the
    // embedding, stays as it is; where it is the head too, the head's pack gets its own name.
    std::vector<PackedPart> parts;
    for (const GgufTensor& t : file_->tensors()) {
        bool matrix = false, vector = false, rows = false, whole = true;
        for (const Entry& e : entries_) {
            if (e.tensor != &t) continue;
            (e.kind == Kind::matrix ? matrix : e.kind == Kind::vector ? vector : rows) = true;
            whole = whole && (e.kind == Kind::rows || whole_groups(t, e.first, e.count));
        }
        const bool fits = matrix && !vector && whole && !t.packed;
        parts.push_back({t.name, &t, fits && !rows});
        if (rows && fits && t.name == embedding_name) parts.push_back({"output.weight", &t, true});
    }
    return elver::write_packed(*file_, parts, pool, sink, progress);
}

}  // namespace elver
