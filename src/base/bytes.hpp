// Where a model's bytes come from: a mapped file, a file descriptor with offset and length (Android assets), or memory
// that the caller keeps. Also AlignedBuffer, the memory of arenas and packs. Neither throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace elver {

// A read-only run of bytes. Mapped bytes stay valid while the object lives; the file may not shrink meanwhile.
class ByteSource {
  public:
    // Maps a whole regular file. An empty file, a directory or a device is an error that names it.
    static Result<ByteSource> map_path(std::string_view path);
    // Maps n_bytes from offset of a descriptor, which stays the caller's and may be closed afterwards.
    // n_bytes 0 means to the end of the file.
    static Result<ByteSource> map_fd(int fd, uint64_t offset, uint64_t n_bytes);
    // Borrows memory.
    static ByteSource borrow(std::span<const std::byte> bytes, std::string name = "memory");

    ByteSource(ByteSource&& other) noexcept;
    ByteSource& operator=(ByteSource&& other) noexcept;
    ~ByteSource();

    std::span<const std::byte> bytes() const noexcept { return bytes_; }
    // The path, "descriptor N" or "memory": what error messages call it.
    const std::string& name() const noexcept { return name_; }
    // Whether name() is the path that was mapped.
    bool has_path() const noexcept { return has_path_; }

    // Tells the system that [offset, offset + n) will be read soon / is not needed any more (its pages leave memory).
    void will_need(size_t offset, size_t n_bytes) const noexcept;
    // Brings [offset, offset + n) into memory at once. False: the bytes cannot be read, because the storage fails or
    // the file has shrunk; to touch them would be a fault. (Systems that cannot tell answer true.)
    bool read(size_t offset, size_t n_bytes) const noexcept;
    void release(size_t offset, size_t n_bytes) const noexcept;
    // Tells the system that [offset, offset + n) is read as a whole again and again: it may read and map large pages.
    void prefer_large_pages(size_t offset, size_t n_bytes) const noexcept;

  private:
    ByteSource() = default;
    void* map_ = nullptr;  // null when borrowed
    size_t map_bytes_ = 0;
    std::span<const std::byte> bytes_;
    std::string name_;
    bool has_path_ = false;
};

// Zeroed memory aligned to 64 bytes (or to 2 MiB and offered to huge pages when large). Move-only.
class AlignedBuffer {
  public:
    static Result<AlignedBuffer> make(size_t n_bytes, std::string_view what);

    AlignedBuffer() = default;
    AlignedBuffer(AlignedBuffer&& other) noexcept;
    AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
    ~AlignedBuffer();

    std::byte* data() noexcept { return data_; }
    const std::byte* data() const noexcept { return data_; }
    size_t size() const noexcept { return n_bytes_; }
    std::span<std::byte> bytes() noexcept { return {data_, n_bytes_}; }
    std::span<const std::byte> bytes() const noexcept { return {data_, n_bytes_}; }
    template <class T>
    T* as(size_t offset_bytes = 0) noexcept {
        return reinterpret_cast<T*>(data_ + offset_bytes);
    }

  private:
    std::byte* data_ = nullptr;
    size_t n_bytes_ = 0;
    size_t map_bytes_ = 0;
};

}  // namespace elver
