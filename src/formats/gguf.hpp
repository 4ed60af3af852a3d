// GGUF files, versions 2 and 3, little-endian: typed metadata and a directory of tensors over mapped bytes. Nothing is
// copied: strings and tensors are views into the source. Every count, length, offset and type is checked before use.
// Source: the GGUF specification (ggml repository, docs/gguf.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "tensor/tensor.hpp"

namespace elver {

enum class GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

const char* gguf_type_name(GgufType type) noexcept;

// Tensor bytes lie at multiples of this key's value, 32 where a file lacks it: a power of two from 8 to 1 MiB.
inline constexpr std::string_view gguf_alignment_key = "general.alignment";
inline constexpr int64_t gguf_default_alignment = 32;
inline constexpr size_t gguf_max_name_bytes = 65535;  // the specification's bound of keys; here of tensor names too
bool is_gguf_alignment(int64_t alignment) noexcept;

// A metadata value. Scalars widen on reading: any integer type can be read with as_int.
class GgufValue {
  public:
    GgufType type() const noexcept { return type_; }
    // For arrays: the type and number of elements.
    GgufType element_type() const noexcept { return element_type_; }
    size_t size() const noexcept { return n_; }

    std::optional<int64_t> as_int() const noexcept { return int_at(type_, bytes_); }
    std::optional<double> as_float() const noexcept { return float_at(type_, bytes_); }
    std::optional<bool> as_bool() const noexcept;
    std::optional<std::string_view> as_string() const noexcept;

    // Elements of an array; i < size(). A truth value is the integer 0 or 1. Strings of an array are indexed once, at
    // parse.
    std::optional<int64_t> int_element(size_t i) const noexcept;
    std::optional<double> float_element(size_t i) const noexcept;
    std::string_view string_element(size_t i) const noexcept;
    // The value as it stands in the file, behind its type id.
    std::span<const std::byte> raw() const noexcept { return raw_; }

  private:
    friend class GgufParser;
    static std::optional<int64_t> int_at(GgufType type, const std::byte* p) noexcept;
    static std::optional<double> float_at(GgufType type, const std::byte* p) noexcept;

    GgufType type_ = GgufType::u8;
    GgufType element_type_ = GgufType::u8;
    size_t n_ = 0;                      // elements of an array, bytes of a string
    const std::byte* bytes_ = nullptr;  // the scalar, the string's bytes, or the first element
    std::span<const std::byte> raw_;
    std::vector<std::string_view> strings_;
};

struct GgufTensor {
    std::string_view name;
    TensorView view;
    size_t offset;        // of the bytes, in the part that holds them
    bool packed = false;  // the bytes are a kernel's pack of the view's rows, not the rows (formats/packed_file.hpp)
    uint32_t part = 0;    // of Gguf::parts()
};

class Gguf {
  public:
    // A model. Where the source is one of the parts that gguf-split writes (NAME-00001-of-00003.gguf), the others are
    // opened beside it; a part can be opened by its path only. The keys "split.…" are left out: they tell of the files
    // and not of the model.
    static Result<Gguf> open(ByteSource source);
    // One file as it is. Checks the whole directory; an error names the file, the key or tensor, what was expected and
    // what was found.
    static Result<Gguf> parse(ByteSource source);

    // Of the first part, which holds the metadata.
    const std::string& name() const noexcept { return parts_.front().name(); }
    const std::vector<ByteSource>& parts() const noexcept { return parts_; }
    const ByteSource& source(const GgufTensor& tensor) const noexcept { return parts_[tensor.part]; }
    uint32_t version() const noexcept { return version_; }

    // In the order of the file.
    const std::vector<std::pair<std::string_view, GgufValue>>& metadata() const noexcept { return metadata_; }
    const std::vector<GgufTensor>& tensors() const noexcept { return tensors_; }

    // Null when absent.
    const GgufValue* find(std::string_view key) const noexcept;
    const GgufTensor* find_tensor(std::string_view name) const noexcept;

    // Typed reads: a missing key or a value of another type is an error that names file and key; the _or forms answer
    // the fallback for a missing key only.
    Result<int64_t> get_int(std::string_view key) const;
    Result<int64_t> get_int_or(std::string_view key, int64_t fallback) const;
    Result<double> get_float_or(std::string_view key, double fallback) const;
    Result<bool> get_bool_or(std::string_view key, bool fallback) const;
    Result<std::string_view> get_string(std::string_view key) const;
    Result<std::string_view> get_string_or(std::string_view key, std::string_view fallback) const;
    // The tensor, or an error that names file and tensor.
    Result<const GgufTensor*> tensor(std::string_view name) const;

    // Says of tensor i that its bytes are a pack of a matrix of this type and shape.
    void set_packed(size_t i, DType type, const Shape& shape) noexcept;
    // Takes the last tensor out of the directory: one that tells of the file and not of the model.
    void drop_last_tensor();

    // "FILE: key \"K\": expected ..., found ..."
    Error key_error(std::string_view key, std::string_view expected, std::string_view found) const;

  private:
    friend class GgufParser;
    explicit Gguf(ByteSource source) { parts_.push_back(std::move(source)); }
    static Result<Gguf> open_parts(Gguf&& one, std::string_view path);
    void add_part(Gguf&& part);
    Result<void> index_parts();
    void drop_split_keys();
    Error missing_key(std::string_view key) const;

    std::vector<ByteSource> parts_;
    uint32_t version_ = 0;
    std::vector<std::pair<std::string_view, GgufValue>> metadata_;
    std::vector<GgufTensor> tensors_;
    // Numbers of the above in the order of their names.
    std::vector<uint32_t> metadata_index_;
    std::vector<uint32_t> tensor_index_;
};

}  // namespace elver
