#include "faults.hpp"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>

// The C library's own, under the names by which programs with a malloc of their own reach them.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);
}

namespace faults {
namespace {

// Plain numbers: they are there before any constructor has run.
thread_local bool watching = false, came = false;
thread_local Kind watched = Kind::memory;
thread_local int64_t n_left = 0;
std::atomic<int64_t> n_blocks{0}, n_bytes{0}, n_mapped{0};

// Whether the present call of a kind is the one to fail.
bool fails(Kind kind) noexcept {
    if (!watching || watched != kind || came || n_left-- != 0) return false;
    came = true;
    return true;
}

void* counted(void* block) noexcept {
    if (block == nullptr) return block;
    n_blocks.fetch_add(1, std::memory_order_relaxed);
    n_bytes.fetch_add(static_cast<int64_t>(malloc_usable_size(block)), std::memory_order_relaxed);
    return block;
}
void discount(void* block) noexcept {
    if (block == nullptr) return;
    n_blocks.fetch_sub(1, std::memory_order_relaxed);
    n_bytes.fetch_sub(static_cast<int64_t>(malloc_usable_size(block)), std::memory_order_relaxed);
}

template <class F>
F* next(const char* name, F*) noexcept {
    return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

int refused(int code) noexcept {
    errno = code;
    return -1;
}

}  // namespace

Watch::Watch(Kind kind, int64_t n) noexcept {
    watched = kind;
    n_left = n;
    came = false;
    watching = n >= 0;
}
Watch::~Watch() {
    watching = false;
}
bool Watch::failed() const noexcept {
    return came;
}

Held held() noexcept {
    int64_t descriptors = 0;
    const int64_t blocks = n_blocks.load(), bytes = n_bytes.load();
    if (DIR* all = opendir("/proc/self/fd")) {
        while (readdir(all) != nullptr) ++descriptors;
        closedir(all);
    }
    return {blocks, bytes, n_mapped.load(), descriptors};
}

}  // namespace faults

using namespace faults;

// The shared library finds them here before it looks into the C library.
#pragma GCC visibility push(default)
extern "C" {

void* malloc(size_t n) {
    if (fails(Kind::memory)) return errno = ENOMEM, nullptr;
    return counted(__libc_malloc(n));
}
void* calloc(size_t n, size_t size) {
    if (fails(Kind::memory)) return errno = ENOMEM, nullptr;
    return counted(__libc_calloc(n, size));
}
void* realloc(void* block, size_t n) {
    if (fails(Kind::memory)) return errno = ENOMEM, nullptr;
    discount(block);
    void* const out = __libc_realloc(block, n);
    if (out == nullptr && n > 0) counted(block);  // it stays as it was
    return counted(out);
}
void* memalign(size_t alignment, size_t n) {
    if (fails(Kind::memory)) return errno = ENOMEM, nullptr;
    return counted(__libc_memalign(alignment, n));
}
void* aligned_alloc(size_t alignment, size_t n) {
    return memalign(alignment, n);
}
int posix_memalign(void** out, size_t alignment, size_t n) {
    void* const block = memalign(alignment, n);
    if (block == nullptr) return ENOMEM;
    *out = block;
    return 0;
}
void free(void* block) {
    discount(block);
    __libc_free(block);
}

void* mmap(void* at, size_t n, int protection, int flags, int fd, off_t offset) {
    if (fails((flags & MAP_ANONYMOUS) != 0 ? Kind::memory : Kind::system)) return errno = ENOMEM, MAP_FAILED;
    static const auto real = next("mmap", &mmap);
    void* const out = real(at, n, protection, flags, fd, offset);
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    if (out != MAP_FAILED) n_mapped.fetch_add(static_cast<int64_t>((n + page - 1) / page * page));
    return out;
}
int munmap(void* at, size_t n) {
    static const auto real = next("munmap", &munmap);
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    n_mapped.fetch_sub(static_cast<int64_t>((n + page - 1) / page * page));
    return real(at, n);
}
int madvise(void* at, size_t n, int advice) noexcept {
    if (fails(Kind::system)) return refused(EIO);
    static const auto real = next("madvise", &madvise);
    return real(at, n, advice);
}

int open(const char* path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (fails(Kind::system)) return refused(EMFILE);
    static const auto real = next("open", &open);
    return real(path, flags, mode);
}
int openat(int folder, const char* path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (fails(Kind::system)) return refused(EMFILE);
    static const auto real = next("openat", &openat);
    return real(folder, path, flags, mode);
}
int close(int fd) {
    static const auto real = next("close", &close);
    const int done = real(fd);
    return fails(Kind::system) ? refused(EIO) : done;
}
int fstat(int fd, struct stat* out) noexcept {
    if (fails(Kind::system)) return refused(EIO);
    static const auto real = next("fstat", &fstat);
    return real(fd, out);
}
ssize_t read(int fd, void* to, size_t n) {
    if (fails(Kind::system)) return refused(EIO);
    static const auto real = next("read", &read);
    return real(fd, to, n);
}
ssize_t write(int fd, const void* bytes, size_t n) {
    if (fails(Kind::system)) return refused(ENOSPC);
    static const auto real = next("write", &write);
    static thread_local bool interrupts = false;
    if (!fails(Kind::partial)) return real(fd, bytes, n);
    interrupts = !interrupts;
    return interrupts ? refused(EINTR) : real(fd, bytes, n > 1 ? n / 2 : n);
}
int fsync(int fd) {
    if (fails(Kind::system)) return refused(EIO);
    static const auto real = next("fsync", &fsync);
    return real(fd);
}
int rename(const char* from, const char* to) noexcept {
    if (fails(Kind::system)) return refused(EIO);
    static const auto real = next("rename", &rename);
    return real(from, to);
}
int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
    if (fails(Kind::system)) return refused(EIO);
    static const auto real = next("renameat", &renameat);
    return real(from_folder, from, to_folder, to);
}
int linkat(int from_folder, const char* from, int to_folder, const char* to, int flags) noexcept {
    if (fails(Kind::system)) return refused(EIO);
    static const auto real = next("linkat", &linkat);
    return real(from_folder, from, to_folder, to, flags);
}

}  // extern "C"
#pragma GCC visibility pop
