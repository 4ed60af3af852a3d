// Makes the bytes of a GGUF file field by field, sound or not: what a field says need not be true.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace elver::test {

template <class T>
std::string le(T value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

inline std::string text_field(std::string_view text) {
    return le<uint64_t>(text.size()) + std::string(text);
}

// Ids of the specification.
enum : uint32_t { type_u8 = 0, type_u32 = 4, type_f32 = 6, type_bool = 7, type_string = 8, type_array = 9 };
enum : uint32_t { tensor_f32 = 0, tensor_q4_0 = 2 };

class GgufBytes {
  public:
    GgufBytes& version(uint32_t v) { return version_ = v, *this; }
    GgufBytes& n_tensors(uint64_t n) { return said_tensors_ = n, *this; }
    GgufBytes& n_keys(uint64_t n) { return said_keys_ = n, *this; }

    GgufBytes& pair(std::string_view key, uint32_t type, std::string_view value) {
        return raw_pair(text_field(key) + le(type) + std::string(value));
    }
    GgufBytes& raw_pair(std::string bytes) { return pairs_.push_back(std::move(bytes)), *this; }
    GgufBytes& string(std::string_view key, std::string_view value) {
        return pair(key, type_string, text_field(value));
    }
    GgufBytes& u32(std::string_view key, uint32_t value) { return pair(key, type_u32, le(value)); }

    // dims as the file writes them, innermost first.
    GgufBytes& tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
        std::string entry = text_field(name) + le(static_cast<uint32_t>(dims.size()));
        for (const uint64_t d : dims) entry += le(d);
        return raw_tensor(entry + le(type) + le(offset));
    }
    GgufBytes& raw_tensor(std::string bytes) { return tensors_.push_back(std::move(bytes)), *this; }

    GgufBytes& alignment(size_t n) { return alignment_ = n, *this; }
    GgufBytes& data(size_t n_bytes) { return n_data_ = n_bytes, *this; }

    operator std::string() const {
        std::string out = "GGUF" + le(version_) + le<uint64_t>(said_tensors_.value_or(tensors_.size())) +
                          le<uint64_t>(said_keys_.value_or(pairs_.size()));
        for (const std::string& p : pairs_) out += p;
        for (const std::string& t : tensors_) out += t;
        if (n_data_ > 0) out.resize((out.size() + alignment_ - 1) / alignment_ * alignment_ + n_data_, '\x01');
        return out;
    }

  private:
    uint32_t version_ = 3;
    std::optional<uint64_t> said_tensors_, said_keys_;
    std::vector<std::string> pairs_, tensors_;
    size_t n_data_ = 0, alignment_ = 32;
};

}  // namespace elver::test
