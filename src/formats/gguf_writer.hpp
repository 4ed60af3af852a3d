// Writes GGUF version 3. Tensor bytes are asked for one tensor at a time and in pieces, so a model larger than memory
// can be written.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_sink.hpp"
#include "base/result.hpp"
#include "formats/gguf.hpp"
#include "tensor/tensor.hpp"

namespace elver {

class GgufWriter {
  public:
    // Gives a tensor's bytes to the sink, in as many pieces as it likes.
    using Producer = std::function<Result<void>(const ByteSink&)>;

    // Tensors are laid out at the alignment that the key "general.alignment" says, set here or copied.
    void set_u32(std::string_view key, uint32_t value);
    void set_i32(std::string_view key, int32_t value);
    void set_u64(std::string_view key, uint64_t value);
    void set_f32(std::string_view key, float value);
    void set_bool(std::string_view key, bool value);
    void set_string(std::string_view key, std::string_view value);
    void set_strings(std::string_view key, std::span<const std::string_view> values);
    void set_f32s(std::string_view key, std::span<const float> values);
    void set_i32s(std::string_view key, std::span<const int32_t> values);
    // A value as another file holds it.
    void copy(std::string_view key, const GgufValue& value);

    // Bytes are borrowed until write().
    void add_tensor(std::string_view name, DType type, const Shape& shape, std::span<const std::byte> bytes);
    void add_tensor(std::string_view name, DType type, const Shape& shape, Producer producer);

    // The head (metadata, directory, padding) is the first piece that the sink is given.
    Result<void> write(const ByteSink& sink) const;
    // See base/file_writer.hpp.
    Result<void> write_file(const std::string& path) const;
    Result<std::vector<std::byte>> write_memory() const;

  private:
    struct Entry {
        std::string name;
        DType type;
        Shape shape;
        Producer producer;
    };

    void key(std::string_view name, GgufType type);

    std::string pairs_;  // the metadata as it will stand in the file
    std::vector<std::string> keys_;
    int64_t alignment_ = gguf_default_alignment;
    std::vector<Entry> tensors_;
};

}  // namespace elver
