#include "base/byte_sink.hpp"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/text.hpp"

namespace elver {

namespace {

// A system call takes at most about 2 GiB.
constexpr size_t most_at_once = size_t{1} << 30;

// Keeps the signal that a broken pipe raises from this thread, and takes it away where one was raised: the library must
// not end its host's process.
class PipeSignalBlocked {
  public:
    PipeSignalBlocked() noexcept {
        sigemptyset(&pipe_);
        sigaddset(&pipe_, SIGPIPE);
        was_pending_ = pending();
        pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }
    ~PipeSignalBlocked() {
        int signal = 0;
        if (!was_pending_ && pending()) sigwait(&pipe_, &signal);
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    PipeSignalBlocked(const PipeSignalBlocked&) = delete;
    PipeSignalBlocked& operator=(const PipeSignalBlocked&) = delete;

  private:
    static bool pending() noexcept {
        sigset_t set;
        return sigpending(&set) == 0 && sigismember(&set, SIGPIPE) == 1;
    }
    sigset_t pipe_, before_;
    bool was_pending_;
};

}  // namespace

ByteSink descriptor_sink(int fd, std::string name) {
    if (name.empty()) name = cat("descriptor ", fd);
    return [fd, name = std::move(name)](std::span<const std::byte> bytes) -> Result<void> {
        const PipeSignalBlocked blocked;
        while (!bytes.empty()) {
            const ssize_t n = ::write(fd, bytes.data(), std::min(bytes.size(), most_at_once));
            if (n >= 0) {
                bytes = bytes.subspan(static_cast<size_t>(n));
            } else if (errno == EAGAIN || errno == EWOULDBLOCK) {  // a descriptor that does not wait by itself
                pollfd ready{fd, POLLOUT, 0};
                ::poll(&ready, 1, -1);
            } else if (errno != EINTR) {
                return Error(Status::io, cat(name, ": cannot write: ", std::strerror(errno)), name);
            }
        }
        return {};
    };
}

}  // namespace elver
