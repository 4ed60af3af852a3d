#include "npy.hpp"

#include <stdexcept>

#include "base/file_writer.hpp"

namespace elver::cli {

namespace {

void need(const Result<void>& done) {
    if (!done) throw std::runtime_error(done.error().message());
}

}  // namespace

NpyWriter::NpyWriter(const std::string& path, const std::vector<size_t>& shape) {
    auto file = FileWriter::open(path);
    if (!file) throw std::runtime_error(file.error().message());
    file_ = *std::move(file);
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
    for (const size_t n : shape) header += std::to_string(n) + ", ";
    header += "), }";
    // NumPy's format 1.0: the data begins at a multiple of 64.
    header.resize((header.size() + 10 + 1 + 63) / 64 * 64 - 10 - 1, ' ');
    header += '\n';
    std::string head("\x93NUMPY\x01\x00", 8);
    head += static_cast<char>(header.size() & 255);
    head += static_cast<char>(header.size() >> 8);
    head += header;
    need(file_->write(std::as_bytes(std::span(head))));
}

NpyWriter::~NpyWriter() = default;

void NpyWriter::write(std::span<const float> values) {
    need(file_->write(std::as_bytes(values)));
}

void NpyWriter::finish() {
    need(file_->finish());
}

}  // namespace elver::cli
