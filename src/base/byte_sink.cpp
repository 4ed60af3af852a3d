#include "base/byte_sink.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/text.hpp"

namespace elver {

namespace {

// A system call takes at most about 2 GiB.
constexpr size_t most_at_once = size_t{1} << 30;

ByteSink named_sink(int fd, std::string name) {
    return [fd, name = std::move(name)](std::span<const std::byte> bytes) -> Result<void> {
        while (!bytes.empty()) {
            const ssize_t n = ::write(fd, bytes.data(), std::min(bytes.size(), most_at_once));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return Error(Status::io, cat(name, ": cannot write: ", std::strerror(errno)), name);
            bytes = bytes.subspan(static_cast<size_t>(n));
        }
        return {};
    };
}

// Gathers small pieces, so that a table of numbers is not as many system calls.
class Gather {
  public:
    explicit Gather(ByteSink sink) : sink_(std::move(sink)) { buffer_.reserve(capacity); }
    Result<void> add(std::span<const std::byte> bytes) {
        if (buffer_.size() + bytes.size() > capacity) {
            if (auto done = flush(); !done) return done;
        }
        if (bytes.size() >= capacity) return sink_(bytes);
        buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
        return {};
    }
    Result<void> flush() {
        auto done = sink_(buffer_);
        buffer_.clear();
        return done;
    }

  private:
    static constexpr size_t capacity = size_t{1} << 20;
    ByteSink sink_;
    std::vector<std::byte> buffer_;
};

}  // namespace

ByteSink descriptor_sink(int fd) {
    return named_sink(fd, cat("descriptor ", fd));
}

Result<void> write_path(const std::string& path, const std::function<Result<void>(const ByteSink&)>& body) {
    if (path.empty() || path.find('\0') != std::string::npos)
        return Error(Status::invalid_argument, cat("path ", in_quotes(path), ": expected a name without a NUL byte"));
    const std::string partial = path + ".partial";
    const auto failed = [&](const char* doing) {
        return Error(Status::io, cat(path, ": cannot ", doing, ": ", std::strerror(errno)), path);
    };
    // Closed and removed on every way out but the last, an exception of body's too.
    struct Partial {
        const std::string& path;
        int fd;
        bool keep = false;
        ~Partial() {
            if (fd >= 0) ::close(fd);
            if (!keep) std::remove(path.c_str());
        }
    };
    const int fd = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return failed("create");
    Partial neighbour{partial, fd};
    Gather gather(named_sink(fd, path));
    auto done = body([&](std::span<const std::byte> bytes) { return gather.add(bytes); });
    if (done) done = gather.flush();
    if (::close(std::exchange(neighbour.fd, -1)) != 0 && done) done = failed("write");
    if (done && std::rename(partial.c_str(), path.c_str()) != 0) done = failed("rename");
    neighbour.keep = bool(done);
    return done;
}

}  // namespace elver
