#include "formats/gguf_writer.hpp"

#include <algorithm>
#include <cstring>

#include "base/checked.hpp"
#include "base/file_writer.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"

namespace elver {

namespace {

template <class T>
void put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_string(std::string& out, std::string_view text) {
    put<uint64_t>(out, text.size());
    out.append(text);
}

template <class T>
void put_array(std::string& out, GgufType type, std::span<const T> values) {
    put(out, static_cast<uint32_t>(type));
    put<uint64_t>(out, values.size());
    out.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

// What a reader would refuse is not written.
Result<size_t> tensor_bytes(std::string_view name, DType type, const Shape& shape) {
    const DTypeInfo& info = dtype_info(type);
    bool fine = shape.rank() >= 1 && shape.columns() % info.block_size == 0;
    size_t n = 1;
    for (const int64_t d : shape.dims()) {
        const auto product = checked_mul(n, static_cast<size_t>(d));
        fine = fine && d > 0 && product && *product <= SIZE_MAX / 16;
        if (fine) n = *product;
    }
    if (fine) return row_bytes(type, n);
    return Error(Status::invalid_argument,
                 cat("tensor ", in_quotes(name), ": expected rows of a multiple of ", info.block_size, " elements of ",
                     info.name, ", found shape ", shape.text()),
                 std::string(name));
}

Result<void> check_names(std::vector<std::string_view> names, std::string_view kind) {
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) {
        return Error(Status::invalid_argument, cat(kind, " ", in_quotes(*twice), ": expected once, found twice"),
                     std::string(*twice));
    }
    for (const std::string_view name : names) {
        if (!name.empty() && name.size() <= gguf_max_name_bytes && is_valid_utf8(name)) continue;
        return Error(Status::invalid_argument,
                     cat(kind, " ", in_quotes(name), ": expected a name of 1 to ", gguf_max_name_bytes,
                         " bytes of UTF-8, found ", name.size()),
                     std::string(kind));
    }
    return {};
}

std::span<const std::byte> as_bytes(const std::string& text) {
    return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

}  // namespace

void GgufWriter::key(std::string_view name, GgufType type) {
    put_string(pairs_, name);
    put(pairs_, static_cast<uint32_t>(type));
    keys_.emplace_back(name);
}

void GgufWriter::set_u32(std::string_view name, uint32_t value) {
    key(name, GgufType::u32), put(pairs_, value);
    if (name == gguf_alignment_key) alignment_ = value;
}
void GgufWriter::set_i32(std::string_view name, int32_t value) {
    key(name, GgufType::i32), put(pairs_, value);
}
void GgufWriter::set_u64(std::string_view name, uint64_t value) {
    key(name, GgufType::u64), put(pairs_, value);
}
void GgufWriter::set_f32(std::string_view name, float value) {
    key(name, GgufType::f32), put(pairs_, value);
}
void GgufWriter::set_bool(std::string_view name, bool value) {
    key(name, GgufType::boolean), put(pairs_, static_cast<uint8_t>(value));
}
void GgufWriter::set_string(std::string_view name, std::string_view value) {
    key(name, GgufType::string), put_string(pairs_, value);
}

void GgufWriter::set_strings(std::string_view name, std::span<const std::string_view> values) {
    key(name, GgufType::array);
    put(pairs_, static_cast<uint32_t>(GgufType::string));
    put<uint64_t>(pairs_, values.size());
    for (std::string_view text : values) put_string(pairs_, text);
}

void GgufWriter::set_f32s(std::string_view name, std::span<const float> values) {
    key(name, GgufType::array), put_array(pairs_, GgufType::f32, values);
}
void GgufWriter::set_i32s(std::string_view name, std::span<const int32_t> values) {
    key(name, GgufType::array), put_array(pairs_, GgufType::i32, values);
}

void GgufWriter::copy(std::string_view name, const GgufValue& value) {
    key(name, value.type());
    const auto raw = value.raw();
    pairs_.append(reinterpret_cast<const char*>(raw.data()), raw.size());
    if (name == gguf_alignment_key) alignment_ = value.as_int().value_or(0);
}

void GgufWriter::add_tensor(std::string_view name, DType type, const Shape& shape, std::span<const std::byte> bytes) {
    add_tensor(name, type, shape, [bytes](const ByteSink& sink) { return sink(bytes); });
}

void GgufWriter::add_tensor(std::string_view name, DType type, const Shape& shape, Producer producer) {
    tensors_.push_back({std::string(name), type, shape, std::move(producer)});
}

Result<void> GgufWriter::write(const ByteSink& sink) const {
    if (!is_gguf_alignment(alignment_)) {
        return Error(Status::invalid_argument,
                     cat("key ", in_quotes(gguf_alignment_key), ": expected a power of two from 8 to 1048576, found ",
                         alignment_),
                     std::string(gguf_alignment_key));
    }
    const auto alignment = static_cast<size_t>(alignment_);
    std::vector<std::string_view> names;
    for (const Entry& t : tensors_) names.push_back(t.name);
    if (auto fine = check_names(std::move(names), "tensor"); !fine) return fine;
    if (auto fine = check_names({keys_.begin(), keys_.end()}, "key"); !fine) return fine;
    std::string head = "GGUF";
    put<uint32_t>(head, 3);
    put<uint64_t>(head, tensors_.size());
    put<uint64_t>(head, keys_.size());
    head += pairs_;
    uint64_t offset = 0;
    for (const Entry& t : tensors_) {
        const auto n_bytes = tensor_bytes(t.name, t.type, t.shape);
        if (!n_bytes) return n_bytes.error();
        put_string(head, t.name);
        put<uint32_t>(head, static_cast<uint32_t>(t.shape.rank()));
        for (int i = t.shape.rank() - 1; i >= 0; --i) put<uint64_t>(head, static_cast<uint64_t>(t.shape[i]));
        put(head, static_cast<uint32_t>(t.type));
        put(head, offset);
        offset += round_up(*n_bytes, alignment);
    }
    head.resize(round_up(head.size(), alignment), '\0');
    if (auto done = sink(as_bytes(head)); !done) return done;
    const std::string zeros(alignment, '\0');
    for (const Entry& t : tensors_) {
        const size_t expected = *tensor_bytes(t.name, t.type, t.shape);
        size_t found = 0;
        const auto checked = [&](std::span<const std::byte> bytes) -> Result<void> {
            found += bytes.size();
            return found <= expected ? sink(bytes) : Result<void>();
        };
        if (auto done = t.producer(checked); !done) return done;
        if (found != expected) {
            return Error(Status::invalid_argument,
                         cat("tensor ", in_quotes(t.name), ": expected ", expected, " bytes for ", dtype_name(t.type),
                             " ", t.shape.text(), ", found ", found),
                         t.name);
        }
        const size_t padding = round_up(expected, alignment) - expected;
        if (auto done = sink(as_bytes(zeros).first(padding)); !done) return done;
    }
    return {};
}

Result<std::vector<std::byte>> GgufWriter::write_memory() const {
    std::vector<std::byte> out;
    const auto done = write([&](std::span<const std::byte> bytes) -> Result<void> {
        out.insert(out.end(), bytes.begin(), bytes.end());
        return {};
    });
    if (!done) return done.error();
    return out;
}

Result<void> GgufWriter::write_file(const std::string& path) const {
    return elver::write_file(path, [&](const ByteSink& sink) { return write(sink); });
}

}  // namespace elver
