#include "npy.hpp"

#include <cstdint>
#include <cstdio>
#include <stdexcept>

namespace elver::cli {

NpyWriter::NpyWriter(std::string path, const std::vector<size_t>& shape)
    : path_(std::move(path)), partial_(path_ + ".partial"), out_(partial_, std::ios::binary) {
    if (!out_) throw std::runtime_error(path_ + ": cannot create");
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
    for (const size_t n : shape) header += std::to_string(n) + ", ";
    header += "), }";
    // NumPy's format 1.0: the data begins at a multiple of 64.
    header.resize((header.size() + 10 + 1 + 63) / 64 * 64 - 10 - 1, ' ');
    header += '\n';
    const auto size = static_cast<uint16_t>(header.size());
    out_ << "\x93NUMPY" << '\x01' << '\x00' << static_cast<char>(size & 255) << static_cast<char>(size >> 8) << header;
}

NpyWriter::~NpyWriter() {
    if (!partial_.empty()) std::remove(partial_.c_str());
}

void NpyWriter::write(std::span<const float> values) {
    out_.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
}

void NpyWriter::finish() {
    out_.close();
    if (!out_ || std::rename(partial_.c_str(), path_.c_str()) != 0) throw std::runtime_error(path_ + ": cannot write");
    partial_.clear();
}

}  // namespace elver::cli
