// Files that appear whole or not at all: what a path may lead to, what happens when any system call fails, when the
// process is killed, and when several write one file.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include <doctest/doctest.h>

#include "base/file_writer.hpp"
#include "base/text.hpp"
#include "message_of.hpp"

namespace fs = std::filesystem;
using namespace elver;
using elver::test::message_of;

namespace {

// What the system calls below do on this thread.
thread_local int fail_after = -1;      // the call to fail, counted from 0; -1: none
thread_local bool no_unnamed = false;  // whether the file system lacks files without a name
thread_local int calls = 0;            // so far

bool to_fail(int code) {
    if (fail_after < 0 || calls++ != fail_after) return false;
    errno = code;
    return true;
}

}  // namespace

#ifdef __linux__
// In place of the C library's, for the code under test alone: they fail when told to.
extern "C" {
ssize_t write(int fd, const void* bytes, size_t n) {
    if (to_fail(ENOSPC)) return -1;
    return syscall(SYS_write, fd, bytes, n);
}
int fsync(int fd) {
    return to_fail(EIO) ? -1 : static_cast<int>(syscall(SYS_fsync, fd));
}
int openat(int folder, const char* path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    const auto mode = va_arg(list, mode_t);
    va_end(list);
    if (no_unnamed && (flags & O_TMPFILE) == O_TMPFILE) return errno = EOPNOTSUPP, -1;
    return to_fail(EMFILE) ? -1 : static_cast<int>(syscall(SYS_openat, folder, path, flags, mode));
}
int linkat(int from, const char* old_path, int to, const char* path, int flags) noexcept {
    return to_fail(EIO) ? -1 : static_cast<int>(syscall(SYS_linkat, from, old_path, to, path, flags));
}
int renameat(int from, const char* old_path, int to, const char* path) noexcept {
    return to_fail(EIO) ? -1 : static_cast<int>(syscall(SYS_renameat2, from, old_path, to, path, 0));
}
}
#endif

namespace {

struct Folder {
    fs::path path = fs::temp_directory_path() / cat("elver_writer_", ::getpid());
    Folder() { fs::create_directories(path); }
    ~Folder() { fs::remove_all(path); }
    std::string operator/(const std::string& name) const { return path / name; }
    std::vector<std::string> names() const {
        std::vector<std::string> out;
        for (const auto& entry : fs::directory_iterator(path)) out.push_back(entry.path().filename());
        std::sort(out.begin(), out.end());
        return out;
    }
};
using Names = std::vector<std::string>;

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}
Result<void> put(const std::string& path, std::string_view text) {
    return write_file(path, [&](const ByteSink& sink) { return sink(bytes_of(text)); });
}
std::string content(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}
mode_t mode_of(const std::string& path) {
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    return info.st_mode & 07777;
}
void refused(const std::string& path, Status status, const char* says) {
    const auto done = put(path, "new");
    REQUIRE(!done);
    CAPTURE(done.error().message());
    CHECK(done.error().status() == status);
    CHECK(done.error().message().find(says) != std::string::npos);
}

// Both ways to write: without a name, and with one of its own.
template <class Body>
void both_ways(const Body& body) {
    for (const bool named : {false, true}) {
        CAPTURE(named);
        no_unnamed = named;
        body();
    }
    no_unnamed = false;
}

}  // namespace

TEST_CASE("file writer: a new file, and one that was there, with its permissions") {
    both_ways([] {
        const Folder folder;
        const mode_t mask = ::umask(027);
        const std::string path = folder / "out";
        REQUIRE(put(path, "one"));
        CHECK(content(path) == "one");
        CHECK(mode_of(path) == 0640);
        ::chmod(path.c_str(), 0606);
        REQUIRE(put(path, "two"));
        CHECK(content(path) == "two");
        CHECK(mode_of(path) == 0606);
        REQUIRE(put(path, ""));
        CHECK(content(path).empty());
        ::umask(mask);
        CHECK(folder.names() == Names{"out"});
    });
}

TEST_CASE("file writer: small and large pieces arrive in order") {
    both_ways([] {
        const Folder folder;
        std::string all;
        REQUIRE(write_file(folder / "out", [&](const ByteSink& sink) -> Result<void> {
            for (const size_t n : {size_t{1}, size_t{1000}, size_t{1} << 20, (size_t{1} << 20) + 1, size_t{0},
                                   (size_t{1} << 20) - 3, size_t{9}, size_t{3} << 20}) {
                const std::string piece(n, static_cast<char>('a' + all.size() % 26));
                if (auto done = sink(bytes_of(piece)); !done) return done;
                all += piece;
            }
            return {};
        }));
        CHECK(content(folder / "out") == all);
    });
}

TEST_CASE("file writer: names without a slash, long, not ASCII, with a neighbour X.partial") {
    both_ways([] {
        const Folder folder;
        const fs::path before = fs::current_path();
        fs::current_path(folder.path);
        const std::string names[] = {"plain", std::string(255, 'n'), "ä 模型 🎉.gguf", "./dotted", "x\ny", "-dash"};
        REQUIRE(put("plain.partial", "precious"));
        for (const std::string& name : names) {
            CAPTURE(name);
            REQUIRE(put(name, name));
            CHECK(content(name) == name);
        }
        fs::current_path(before);
        CHECK(content(folder / "plain.partial") == "precious");
        CHECK(folder.names().size() == 7);
        refused(folder / std::string(256, 'n'), Status::io, "File name too long");
        refused(folder / "no/out", Status::io, "cannot create: No such file");
        refused(folder / "plain/out", Status::io, "cannot create: Not a directory");
        refused("", Status::invalid_argument, "NUL byte");
        refused(std::string("a\0b", 3), Status::invalid_argument, "NUL byte");
        refused(folder / "new/", Status::invalid_argument, "found a folder's");
        CHECK(folder.names().size() == 7);
    });
}

TEST_CASE("file writer: links are followed and stay") {
    both_ways([] {
        const Folder folder;
        fs::create_directory(folder / "sub");
        REQUIRE(put(folder / "sub/target", "old"));
        fs::create_symlink("sub/target", folder / "link");
        fs::create_symlink("link", folder / "link to link");
        fs::create_symlink(folder / "sub/late", folder / "dangling");
        fs::create_symlink("loop", folder / "loop");
        for (const char* name : {"link", "link to link"}) {
            REQUIRE(put(folder / name, name));
            CHECK(content(folder / "sub/target") == name);
            CHECK(fs::is_symlink(folder / name));
        }
        REQUIRE(put(folder / "dangling", "late"));
        CHECK(content(folder / "sub/late") == "late");
        CHECK(fs::is_symlink(folder / "dangling"));
        refused(folder / "loop", Status::io, "symbolic links");
        CHECK(fs::is_symlink(folder / "loop"));
        CHECK(folder.names() == Names{"dangling", "link", "link to link", "loop", "sub"});
        CHECK(std::distance(fs::directory_iterator(folder / "sub"), {}) == 2);
    });
}

TEST_CASE("file writer: pipes and devices are written through, other nodes refused") {
    const Folder folder;
    REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
    fs::create_symlink("fifo", folder / "link");
    std::string read;
    std::thread reader([&] { read = content(folder / "link"); });
    const std::string large(300'000, 'x');  // more than a pipe holds
    const auto piped = put(folder / "fifo", large);
    reader.join();
    CHECK_MESSAGE(piped, message_of(piped));
    CHECK(read == large);
    CHECK(fs::is_fifo(folder / "fifo"));
    refused(folder / "fifo", Status::io, "no program reads");

    fs::create_directory(folder / "sub");
    refused(folder / "sub", Status::invalid_argument, "found a folder");
    refused(folder / "sub/", Status::invalid_argument, "found a folder");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, (folder / "socket").c_str(), sizeof address.sun_path - 1);
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    refused(folder / "socket", Status::invalid_argument, "found a socket");
    ::close(socket);

    fs::create_symlink("/dev/null", folder / "null");
    CHECK(put(folder / "null", "gone"));
    CHECK(fs::is_character_file(folder / "null"));
    if (::access("/dev/full", W_OK) == 0) {
        fs::create_symlink("/dev/full", folder / "full");
        refused(folder / "full", Status::io, "No space left");
    }
    CHECK(folder.names().front() == "fifo");
}

TEST_CASE("file writer: a name of an open descriptor is appended to, whatever its link leads to") {
    if (!fs::exists("/dev/fd")) return;
    const Folder folder;
    REQUIRE(put(folder / "log", "before "));
    const int fd = ::open((folder / "log").c_str(), O_WRONLY | O_APPEND);
    fs::create_symlink(cat("/dev/fd/", fd), folder / "link");
    CHECK(put(folder / "link", "after"));
    CHECK(content(folder / "log") == "before after");
    ::close(fd);
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    CHECK(put(cat("/dev/fd/", ends[1]), "piped"));
    char text[5];
    CHECK(::read(ends[0], text, 5) == 5);
    CHECK(std::string_view(text, 5) == "piped");
    ::close(ends[0]);
    const auto broken = descriptor_sink(ends[1])(bytes_of("x"));  // no signal ends the process
    REQUIRE(!broken);
    CHECK(broken.error().message().find("Broken pipe") != std::string::npos);
    ::close(ends[1]);
    sigset_t pending;
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGPIPE) == 0);
}

TEST_CASE("file writer: without the rights nothing is written") {
    const Folder folder;
    constexpr uid_t nobody = 65534;
    const bool root = ::geteuid() == 0;  // who has every right, so this is another
    if (root && (::chown(folder.path.c_str(), nobody, nobody) != 0 || ::seteuid(nobody) != 0)) return;
    both_ways([&] {
        const std::string old = folder / "old";
        REQUIRE(put(old, "old"));
        ::chmod(old.c_str(), 0444);
        refused(old, Status::io, "cannot write: Permission denied");
        ::chmod(old.c_str(), 0644);
        ::chmod(folder.path.c_str(), 0555);
        refused(folder / "new", Status::io, "cannot create: Permission denied");
        refused(old, Status::io, "cannot create: Permission denied");
        ::chmod(folder.path.c_str(), 0333);  // a folder that one may write to and not list
        CHECK(put(old, "new"));
        ::chmod(folder.path.c_str(), 0755);
        CHECK(content(old) == "new");
        CHECK(folder.names() == Names{"old"});
        REQUIRE(put(old, "old"));
    });
    if (root) CHECK(::seteuid(0) == 0);
}

TEST_CASE("file writer: an error or an exception of whoever writes leaves what was there") {
    both_ways([] {
        const Folder folder;
        REQUIRE(put(folder / "out", "old"));
        const auto stopped = write_file(folder / "out", [&](const ByteSink& sink) -> Result<void> {
            if (auto done = sink(bytes_of(std::string(5'000'000, 'x'))); !done) return done;
            return Error(Status::cancelled, "stopped");
        });
        REQUIRE(!stopped);
        CHECK(stopped.error().status() == Status::cancelled);
        CHECK_THROWS_AS(
            (void)write_file(folder / "out", [](const ByteSink&) -> Result<void> { throw std::runtime_error("mine"); }),
            std::runtime_error);
        CHECK(content(folder / "out") == "old");
        CHECK(folder.names() == Names{"out"});
    });
}

#ifdef __linux__
TEST_CASE("file writer: whichever system call fails, the file is the old one or the new one, and it is alone") {
    both_ways([] {
        for (const bool there : {false, true}) {
            CAPTURE(there);
            bool reached = true;
            int n = 0;
            for (; reached; ++n) {
                CAPTURE(n);
                const Folder folder;
                if (there) REQUIRE(put(folder / "out", "old"));
                calls = 0, fail_after = n;
                const auto done = write_file(folder / "out", [&](const ByteSink& sink) -> Result<void> {
                    for (int i = 0; i < 3; ++i) {
                        if (auto taken = sink(bytes_of(std::string(1 << 20, 'x'))); !taken) return taken;
                    }
                    return {};
                });
                reached = calls > n;
                fail_after = -1;
                CHECK(folder.names() == (done || there ? Names{"out"} : Names{}));
                if (done) CHECK(content(folder / "out").size() == 3 << 20);
                if (!done && there) CHECK(content(folder / "out") == "old");
            }
            CHECK(n >= 8);  // three pieces, what is left, to the disk, the name, the folder
        }
    });
}

TEST_CASE("file writer: a disk that fills up at any byte leaves nothing") {
    both_ways([] {
        const Folder folder;
        REQUIRE(put(folder / "out", "old"));
        struct rlimit before {};
        ::getrlimit(RLIMIT_FSIZE, &before);
        const auto handler = std::signal(SIGXFSZ, SIG_IGN);
        for (rlim_t limit = 0; limit < 3 << 20; limit = limit * 3 + 1) {
            const struct rlimit small {
                limit, before.rlim_max
            };
            ::setrlimit(RLIMIT_FSIZE, &small);
            const auto done = put(folder / "out", std::string(3 << 20, 'x'));
            ::setrlimit(RLIMIT_FSIZE, &before);
            REQUIRE(!done);
            CHECK(done.error().status() == Status::io);
            CHECK(done.error().message().find("out: cannot write: ") != std::string::npos);
            CHECK(content(folder / "out") == "old");
            CHECK(folder.names() == Names{"out"});
        }
        std::signal(SIGXFSZ, handler);
    });
}

TEST_CASE("file writer: a process that is killed leaves the old file or the new one, and no other") {
    const Folder folder;
    for (int i = 0; i < 60; ++i) {
        REQUIRE(put(folder / "out", "old"));
        const pid_t child = ::fork();
        if (child == 0) {
            for (;;) (void)put(folder / "out", std::string(2 << 20, 'x'));
        }
        ::usleep(static_cast<useconds_t>(i * 397 % 20000));
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        const std::string found = content(folder / "out");
        CHECK((found == "old" || found == std::string(2 << 20, 'x')));
    }
    // A kill between the file's own name and the target's leaves it, which is the one moment that the system knows.
    CHECK(folder.names().size() <= 3);
}
#endif

TEST_CASE("file writer: of several that write one file, one is there whole") {
    both_ways([] {
        const Folder folder;
        const bool named = no_unnamed;
        std::vector<std::thread> writers;
        for (char c = 'a'; c < 'e'; ++c) {
            writers.emplace_back([&folder, c, named] {
                no_unnamed = named;
                for (int i = 0; i < 10; ++i) CHECK(put(folder / "out", std::string(2'000'000, c)));
            });
        }
        for (int i = 0; i < 50; ++i) {
            const std::string seen = content(folder / "out");
            if (seen.empty()) continue;
            CHECK(seen == std::string(2'000'000, seen[0]));
        }
        for (std::thread& writer : writers) writer.join();
        CHECK(folder.names() == Names{"out"});
    });
}
