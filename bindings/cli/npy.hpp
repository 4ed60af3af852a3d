// Writes a NumPy file of float32, which appears under its name only when it is whole.
#pragma once

#include <fstream>
#include <span>
#include <string>
#include <vector>

namespace elver::cli {

class NpyWriter {
  public:
    NpyWriter(std::string path, const std::vector<size_t>& shape);
    ~NpyWriter();
    NpyWriter(const NpyWriter&) = delete;
    NpyWriter& operator=(const NpyWriter&) = delete;

    void write(std::span<const float> values);
    void finish();

  private:
    std::string path_, partial_;
    std::ofstream out_;
};

}  // namespace elver::cli
