#include "base/bytes.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>

#include "base/checked.hpp"
#include "base/text.hpp"

namespace elver {

namespace {

size_t page_size() noexcept {
    return static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

Error system_error(std::string_view name, std::string_view doing) {
    const int code = errno;
    const Status status = code == ENOENT ? Status::not_found : code == ENOMEM ? Status::out_of_memory : Status::io;
    return Error(status, cat(name, ": cannot ", doing, ": ", std::strerror(code)), std::string(name));
}

constexpr size_t huge_page = size_t{2} << 20;

// Of all pages that hold some of the bytes.
int advise(const std::byte* bytes, size_t n_bytes, int advice) noexcept {
    const auto start = reinterpret_cast<uintptr_t>(bytes), page = start & ~(page_size() - 1);
    return ::madvise(reinterpret_cast<void*>(page), start + n_bytes - page, advice);
}

}  // namespace

Result<ByteSource> ByteSource::map_path(std::string_view path) {
    if (path.find('\0') != std::string_view::npos) {
        return Error(Status::invalid_argument, cat("path ", in_quotes(path), ": a path cannot hold a NUL byte"));
    }
    const std::string name(path);
    const int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return system_error(name, "open");
    auto source = map_fd(fd, 0, 0);
    ::close(fd);
    if (!source) {
        const Error& e = source.error();
        return Error(e.status(), name + e.message().substr(e.message().find(':')), name);
    }
    source->name_ = name;
    source->has_path_ = true;
    return source;
}

Result<ByteSource> ByteSource::map_fd(int fd, uint64_t offset, uint64_t n_bytes) {
    const std::string name = cat("descriptor ", fd);
    struct stat info {};
    if (::fstat(fd, &info) != 0) return system_error(name, "read its size");
    if (!S_ISREG(info.st_mode)) return Error(Status::invalid_argument, cat(name, ": not a regular file"), name);
    const uint64_t file_bytes = static_cast<uint64_t>(info.st_size);
    if (file_bytes == 0) return Error(Status::bad_file, cat(name, ": the file is empty"), name);
    if (offset >= file_bytes || n_bytes > file_bytes - offset) {
        return Error(Status::invalid_argument,
                     cat(name, ": bytes ", offset, " to ", offset, " + ", n_bytes, " leave the file of ", file_bytes),
                     name);
    }
    if (n_bytes == 0) n_bytes = file_bytes - offset;
    const uint64_t lead = offset % page_size();
    void* map = ::mmap(nullptr, n_bytes + lead, PROT_READ, MAP_PRIVATE, fd, static_cast<off_t>(offset - lead));
    if (map == MAP_FAILED) return system_error(name, "map");
    ByteSource source;
    source.map_ = map;
    source.map_bytes_ = n_bytes + lead;
    source.bytes_ = {static_cast<const std::byte*>(map) + lead, n_bytes};
    source.name_ = name;
    return source;
}

ByteSource ByteSource::borrow(std::span<const std::byte> bytes, std::string name) {
    ByteSource source;
    source.bytes_ = bytes;
    source.name_ = std::move(name);
    return source;
}

ByteSource::ByteSource(ByteSource&& other) noexcept {
    *this = std::move(other);
}

ByteSource& ByteSource::operator=(ByteSource&& other) noexcept {
    std::swap(map_, other.map_);
    std::swap(map_bytes_, other.map_bytes_);
    std::swap(bytes_, other.bytes_);
    std::swap(name_, other.name_);
    std::swap(has_path_, other.has_path_);
    return *this;
}

ByteSource::~ByteSource() {
    if (map_ != nullptr) ::munmap(map_, map_bytes_);
}

void ByteSource::will_need(size_t offset, size_t n_bytes) const noexcept {
    if (map_ != nullptr && n_bytes > 0) advise(bytes_.data() + offset, n_bytes, MADV_WILLNEED);
}

bool ByteSource::read(size_t offset, size_t n_bytes) const noexcept {
    if (map_ == nullptr || n_bytes == 0) return true;
#ifdef MADV_POPULATE_READ
    while (advise(bytes_.data() + offset, n_bytes, MADV_POPULATE_READ) != 0) {
        if (errno == EINVAL) return true;  // an older system
        if (errno != EINTR && errno != EAGAIN) return false;
    }
#endif
    return true;
}

void ByteSource::release(size_t offset, size_t n_bytes) const noexcept {
    if (map_ == nullptr) return;
    // Only whole pages inside the range: its neighbours may still be in use.
    const auto start = reinterpret_cast<uintptr_t>(bytes_.data() + offset);
    const uintptr_t first = round_up(start, page_size());
    const uintptr_t last = (start + n_bytes) & ~(page_size() - 1);
    if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

void ByteSource::prefer_large_pages([[maybe_unused]] size_t offset, [[maybe_unused]] size_t n_bytes) const noexcept {
#ifdef MADV_HUGEPAGE
    if (map_ != nullptr && n_bytes > 0) advise(bytes_.data() + offset, n_bytes, MADV_HUGEPAGE);
#endif
}

Result<AlignedBuffer> AlignedBuffer::make(size_t n_bytes, std::string_view what) {
    AlignedBuffer buffer;
    if (n_bytes == 0) return buffer;
    const bool large = n_bytes >= 2 * huge_page;
    const size_t unit = large ? huge_page : page_size();
    if (n_bytes > SIZE_MAX / 2) return Error(Status::out_of_memory, cat(what, ": cannot allocate ", n_bytes, " bytes"));
    const size_t used = round_up(n_bytes, page_size());
    const size_t reserved = used + (large ? unit : 0);
    void* map = ::mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return Error(Status::out_of_memory, cat(what, ": cannot allocate ", n_bytes, " bytes"));
    const auto start = reinterpret_cast<uintptr_t>(map);
    const uintptr_t aligned = round_up(start, unit);
    if (aligned > start) ::munmap(map, aligned - start);
    const uintptr_t end = aligned + used;
    if (end < start + reserved) ::munmap(reinterpret_cast<void*>(end), start + reserved - end);
    buffer.data_ = reinterpret_cast<std::byte*>(aligned);
    buffer.n_bytes_ = n_bytes;
    buffer.map_bytes_ = used;
#ifdef MADV_HUGEPAGE
    // Whole huge pages only, so that the resident size stays what was planned.
    if (large) ::madvise(buffer.data_, used & ~(huge_page - 1), MADV_HUGEPAGE);
#endif
    return buffer;
}

AlignedBuffer::AlignedBuffer(AlignedBuffer&& other) noexcept {
    *this = std::move(other);
}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(n_bytes_, other.n_bytes_);
    std::swap(map_bytes_, other.map_bytes_);
    return *this;
}

AlignedBuffer::~AlignedBuffer() {
    if (data_ != nullptr) ::munmap(data_, map_bytes_);
}

}  // namespace elver
