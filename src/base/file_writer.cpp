#include "base/file_writer.hpp"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>
#include <tuple>
#include <utility>

#include "base/text.hpp"

namespace elver {

namespace {

constexpr size_t buffer_bytes = size_t{1} << 20;
constexpr int most_links = 40;  // as Linux allows
constexpr int most_names = 100;
constexpr auto reader_step = std::chrono::milliseconds(20);
constexpr int reader_steps = 250;  // five seconds for a pipe's reader

#ifdef O_PATH
constexpr int open_folder = O_PATH | O_DIRECTORY | O_CLOEXEC;  // needs no right to list it
#else
constexpr int open_folder = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
#endif

// Names of open descriptors: links that lead to no path, or to one that is not what was opened.
bool is_descriptor_name(std::string_view path) noexcept {
    return path.starts_with("/dev/fd/") || path.starts_with("/proc/");
}

// Where a path leads when the links of its last part are followed, up to one that is not there.
std::string follow_links(std::string path) {
    for (int i = 0; i < most_links && !is_descriptor_name(path); ++i) {
        char target[PATH_MAX];
        const ssize_t n = ::readlink(path.c_str(), target, sizeof target);
        if (n <= 0) break;  // no link, or nothing there
        if (target[0] == '/')
            path.clear();
        else
            path.resize(path.rfind('/') + 1);
        path.append(target, static_cast<size_t>(n));
    }
    return path;
}

const char* kind_of(mode_t mode) noexcept {
    return S_ISDIR(mode) ? "a folder" : S_ISSOCK(mode) ? "a socket" : S_ISBLK(mode) ? "a block device" : "another node";
}

// Calls make(name) with names that nothing else should have, until one was free. False: errno says why.
template <class Make>
bool with_free_name(std::string& name, const Make& make) {
    for (int i = 0; i < most_names; ++i) {
        const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
        name = cat(".elver-", ::getpid(), "-", now, ".partial");
        if (make(name.c_str())) return true;
        if (errno != EEXIST) break;
    }
    const int code = errno;
    name.clear();
    errno = code;
    return false;
}

// The name by which a descriptor's file can be linked; empty where the system has none.
std::string name_of(int fd) {
    std::string name = cat("/proc/self/fd/", fd);
    return ::access(name.c_str(), F_OK) == 0 ? name : std::string();
}

// A folder's entries reach the disk; where the file system cannot do that, it is left to it.
void sync_folder(int folder) noexcept {
    const int fd = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    std::ignore = ::fsync(fd);
    ::close(fd);
}

}  // namespace

Error FileWriter::failed(const char* doing) const {
    return Error(Status::io, cat(path_, ": cannot ", doing, ": ", std::strerror(errno)), path_);
}

Result<std::unique_ptr<FileWriter>> FileWriter::open(std::string_view given) {
    if (given.empty() || given.find('\0') != std::string_view::npos)
        return Error(Status::invalid_argument, cat("path ", in_quotes(given), ": expected a name without a NUL byte"));
    std::unique_ptr<FileWriter> writer(new FileWriter(given));
    const std::string path = follow_links(writer->path_);
    struct stat target {};
    const bool there = ::stat(path.c_str(), &target) == 0;
    if (!there && errno != ENOENT) return writer->failed("create");
    auto opened = there && (!S_ISREG(target.st_mode) || is_descriptor_name(path))
                      ? writer->open_through(path, target)
                      : writer->open_beside(path, there ? &target : nullptr);
    if (!opened) return std::move(opened).error();
    writer->sink_ = descriptor_sink(writer->fd_, writer->path_);
    return writer;
}

Result<void> FileWriter::open_through(const std::string& path, const struct stat& target) {
    const mode_t mode = target.st_mode;
    if (!S_ISFIFO(mode) && !S_ISCHR(mode) && !S_ISREG(mode)) {
        return Error(Status::invalid_argument,
                     cat(path_, ": expected a plain file, a pipe or a character device, found ", kind_of(mode)), path_);
    }
    for (int i = 0;; ++i) {
        fd_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd_ >= 0 || errno != ENXIO || !S_ISFIFO(mode) || i == reader_steps) break;
        std::this_thread::sleep_for(reader_step);
    }
    if (fd_ < 0 && errno == ENXIO && S_ISFIFO(mode))
        return Error(Status::io, cat(path_, ": cannot write: no program reads from this pipe"), path_);
    if (fd_ < 0 || ::fcntl(fd_, F_SETFL, O_APPEND) != 0) return failed("write");
    return {};
}

Result<void> FileWriter::open_beside(const std::string& path, const struct stat* target) {
    const size_t slash = path.rfind('/');
    name_ = path.substr(slash + 1);
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    if (name_.empty())
        return Error(Status::invalid_argument, cat(path_, ": expected a file's name, found a folder's"), path_);
    folder_ = ::open(folder.c_str(), open_folder);
    if (folder_ < 0) return failed("create");
    if (target != nullptr && ::faccessat(folder_, name_.c_str(), W_OK, AT_EACCESS) != 0) return failed("write");
    const mode_t mode = target == nullptr ? 0666 : target->st_mode & 0777;
#ifdef O_TMPFILE
    fd_ = ::openat(folder_, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
    if (fd_ >= 0 && name_of(fd_).empty()) ::close(std::exchange(fd_, -1));
#endif
    if (fd_ < 0) {
        with_free_name(temporary_, [&](const char* name) {
            fd_ = ::openat(folder_, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
            return fd_ >= 0;
        });
    }
    if (fd_ < 0) return failed("create");
    if (target != nullptr) {  // as far as the system lets us: only root may give a file to another user
        std::ignore = ::fchown(fd_, target->st_uid, target->st_gid) == 0 ||
                      ::fchown(fd_, static_cast<uid_t>(-1), target->st_gid) == 0;
        std::ignore = ::fchmod(fd_, mode);
    }
    return {};
}

FileWriter::~FileWriter() {
    if (fd_ >= 0) ::close(fd_);
    if (!temporary_.empty()) ::unlinkat(folder_, temporary_.c_str(), 0);
    if (folder_ >= 0) ::close(folder_);
}

Result<void> FileWriter::write(std::span<const std::byte> bytes) {
    if (buffer_.size() + bytes.size() > buffer_bytes) {
        if (auto done = flush(); !done) return done;
    }
    if (bytes.size() >= buffer_bytes) return sink_(bytes);
    buffer_.reserve(buffer_bytes);
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return {};
}

Result<void> FileWriter::flush() {
    auto done = sink_(buffer_);
    buffer_.clear();
    return done;
}

// A file without a name takes the target's where that is free, else one of its own, by which it then replaces the
// target: a link cannot do that.
bool FileWriter::take_name() {
    const auto link_to = [&](const char* name) {
        return ::linkat(AT_FDCWD, name_of(fd_).c_str(), folder_, name, AT_SYMLINK_FOLLOW) == 0;
    };
    if (temporary_.empty()) {
        if (link_to(name_.c_str())) return true;
        if (errno != EEXIST || !with_free_name(temporary_, link_to)) return false;
    }
    if (::renameat(folder_, temporary_.c_str(), folder_, name_.c_str()) != 0) return false;
    temporary_.clear();
    return true;
}

Result<void> FileWriter::finish() {
    if (auto done = flush(); !done) return done;
    if (folder_ < 0) {
        if (::close(std::exchange(fd_, -1)) != 0) return failed("write");
        return {};
    }
    if (::fsync(fd_) != 0 && errno != EINVAL) return failed("write");
    if (!take_name()) return failed("rename");
    sync_folder(folder_);
    return {};
}

Result<void> write_file(std::string_view path, const std::function<Result<void>(const ByteSink&)>& body) {
    auto writer = FileWriter::open(path);
    if (!writer) return std::move(writer).error();
    if (auto done = body([&](std::span<const std::byte> bytes) { return (*writer)->write(bytes); }); !done) return done;
    return (*writer)->finish();
}

}  // namespace elver
