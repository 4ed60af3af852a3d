// Where a model's weights live: one arena of packed matrices and f32 vectors, planned to the byte before anything is
// allocated and filled in parallel from the file, whose pages are given back as they are used. Who multiplies asks for
// a weight by its WeightRef and cannot tell how it is held.
#pragma once

#include <atomic>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/bytes.hpp"
#include "formats/packed_file.hpp"
#include "kernels/table.hpp"
#include "weights/weight_ref.hpp"

namespace elver {

// Rows of a weight matrix as the kernel of its type reads them. Borrowed from Weights.
struct PackedMatrix {
    DType type = DType::f32;
    int n_rows = 0;
    int k = 0;
    const std::byte* data = nullptr;
    size_t n_bytes = 0;  // read by one pass over the matrix
    void (*matmul)(const MatmulArgs&) noexcept = nullptr;

    int n_groups() const noexcept { return (n_rows + 15) / 16; }
};

class Weights {
  public:
    // The kernels decide the layout. The file stays open while the weights are used.
    Weights(const Gguf& file, const KernelTable& kernels) : file_(&file), kernels_(&kernels) {}

    // Wants rows [first_row, first_row + n_rows) of a tensor seen as [rows, columns], as one matrix. A type without a
    // kernel is an error naming the tensor.
    Result<WeightRef> add_matrix(const GgufTensor& tensor, int64_t first_row, int64_t n_rows);
    // Wants n elements from first on of a tensor as f32, padded with zeros to a multiple of 16.
    Result<WeightRef> add_vector(const GgufTensor& tensor, int64_t first, int64_t n);
    // Wants a tensor's rows as the file has them, to be decoded one by one. A type that cannot be decoded, or a pack,
    // is an error naming the tensor.
    Result<WeightRef> add_rows(const GgufTensor& tensor);

    // Whether some of the tensor is wanted.
    bool wants(const GgufTensor& tensor) const { return wanted_.count(&tensor) != 0; }

    // Whether products take activations of 8 bits: true if some matrix has a block format.
    bool quantizes() const noexcept;

    // Bytes of the arena, and of the packs that are read where they lie in the file; exact once everything was added.
    size_t n_bytes() const noexcept { return n_bytes_ + mapped_bytes_; }

    // Allocates the arena and fills it. Cancelled or failed: the arena is released and the error says which.
    Result<void> load(ThreadPool& pool, const Progress& progress, const CancelToken* cancel);

    // Writes the file again with the matrices that are wanted as packs (packed_file.hpp).
    Result<void> write_packed(ThreadPool& pool, const ByteSink& sink, const Progress& progress) const;

    // Before load the shapes are right and the data null.
    const PackedMatrix& matrix(WeightRef ref) const noexcept { return matrices_[static_cast<size_t>(ref.number)]; }
    const float* vector(WeightRef ref) const noexcept;
    const TensorView& rows(WeightRef ref) const noexcept {
        return entries_[static_cast<size_t>(ref.number)].tensor->view;
    }

  private:
    enum class Kind : uint8_t { matrix, vector, rows };
    struct Entry {
        const GgufTensor* tensor;
        int64_t first;  // row of a matrix, element of a vector
        int64_t count;  // rows or elements
        Kind kind;
        size_t offset;   // in the arena
        size_t n_bytes;  // there; 0: it is read where the file has it
    };
    WeightRef add(const GgufTensor& tensor, int64_t first, int64_t count, Kind kind, size_t n_bytes);
    PackedMatrix resolve(const Entry& entry) const noexcept;
    struct Piece;
    std::vector<Piece> pieces() const;
    void fill(const Piece& piece, const std::atomic<bool>& stop, const CancelToken* cancel) noexcept;

    const Gguf* file_;
    const KernelTable* kernels_;
    std::vector<Entry> entries_;
    std::vector<PackedMatrix> matrices_;  // of each entry that is one
    std::unordered_set<const GgufTensor*> wanted_;
    size_t n_bytes_ = 0;       // of the arena
    size_t mapped_bytes_ = 0;  // of packs in the file
    AlignedBuffer arena_;
};

}  // namespace elver
