// Writes a NumPy file of float32, which appears under its name only when it is whole (base/file_writer.hpp).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace elver {
class FileWriter;
}

namespace elver::cli {

class NpyWriter {
  public:
    NpyWriter(const std::string& path, const std::vector<size_t>& shape);
    ~NpyWriter();
    NpyWriter(const NpyWriter&) = delete;
    NpyWriter& operator=(const NpyWriter&) = delete;

    void write(std::span<const float> values);
    void finish();

  private:
    std::unique_ptr<FileWriter> file_;
};

}  // namespace elver::cli
