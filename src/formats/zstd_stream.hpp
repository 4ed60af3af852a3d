// A zstd frame written to a sink and read from memory, piece by piece, with a sum over its contents.
// Source: RFC 8878.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/byte_sink.hpp"

namespace elver {

class ZstdWriter {
  public:
    // Compresses for speed: what it writes is mostly noise.
    static Result<ZstdWriter> make(ByteSink sink);
    Result<void> write(std::span<const std::byte> bytes);
    // Ends the frame. Nothing may be written afterwards.
    Result<void> finish();

  private:
    struct Release {
        void operator()(void* stream) const noexcept;
    };
    ZstdWriter() = default;
    Result<void> step(std::span<const std::byte> bytes, bool end);

    ByteSink sink_;
    std::unique_ptr<void, Release> stream_;
    std::vector<std::byte> out_;
};

class ZstdReader {
  public:
    // Borrows the bytes; name is what errors call them.
    static Result<ZstdReader> make(std::span<const std::byte> bytes, std::string name);
    // Fills out from the frame: one that is damaged or ends before is an error.
    Result<void> read(std::span<std::byte> out);
    // The frame, and the bytes with it, must end here.
    Result<void> end();

  private:
    struct Release {
        void operator()(void* stream) const noexcept;
    };
    ZstdReader() = default;

    std::span<const std::byte> bytes_;
    std::string name_;
    std::unique_ptr<void, Release> stream_;
    bool done_ = false;
};

}  // namespace elver
