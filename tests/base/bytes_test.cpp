// Mapped files, descriptors, borrowed memory and aligned buffers: what is mapped, who owns it, what is an error.
#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "base/bytes.hpp"
#include "base/text.hpp"
#include "message_of.hpp"

using namespace elver;

namespace {

// A file of n bytes, byte i being i * 7, with a descriptor on it.
struct File {
    std::string path = std::filesystem::temp_directory_path() / cat("elver_bytes_", ::getpid());
    int fd;
    explicit File(size_t n) {
        std::string content(n, '\0');
        for (size_t i = 0; i < n; ++i) content[i] = static_cast<char>(i * 7);
        std::ofstream(path, std::ios::binary) << content;
        fd = ::open(path.c_str(), O_RDONLY);
    }
    ~File() {
        ::close(fd);
        ::unlink(path.c_str());
    }
};

void check_bytes(const ByteSource& source, size_t offset, size_t n) {
    REQUIRE(source.bytes().size() == n);
    for (size_t i = 0; i < n; ++i) {
        if (source.bytes()[i] != static_cast<std::byte>((offset + i) * 7)) FAIL("byte ", i);
    }
}

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) != -1;
}

}  // namespace

TEST_CASE("bytes: a path is mapped whole") {
    const File file(10000);
    const auto source = ByteSource::map_path(file.path);
    REQUIRE(source);
    CHECK(source->name() == file.path);
    check_bytes(*source, 0, 10000);
}

TEST_CASE("bytes: a descriptor is mapped from any offset, stays the caller's and may be closed") {
    const File file(10000);
    const uint64_t ranges[][2] = {{0, 0}, {0, 10000}, {1, 1}, {4095, 2}, {4096, 4096}, {5001, 0}, {9999, 1}};
    for (const auto& range : ranges) {
        const uint64_t offset = range[0], n = range[1];
        CAPTURE(offset);
        const int fd = ::dup(file.fd);
        const auto source = ByteSource::map_fd(fd, offset, n);
        REQUIRE_MESSAGE(source, elver::test::message_of(source));
        CHECK(source->name() == cat("descriptor ", fd));
        CHECK(is_open(fd));
        ::close(fd);
        check_bytes(*source, offset, n == 0 ? 10000 - offset : n);
    }
}

TEST_CASE("bytes: a range outside the file, or what is no file, is an error naming the descriptor") {
    const File file(100);
    const std::string name = cat("descriptor ", file.fd);
    const uint64_t ranges[][2] = {{100, 0}, {101, 0}, {0, 101}, {99, 2}, {~0ull, 0}, {50, ~0ull}, {~0ull - 49, 50}};
    for (const auto& range : ranges) {
        const uint64_t offset = range[0], n = range[1];
        const auto source = ByteSource::map_fd(file.fd, offset, n);
        REQUIRE(!source);
        CHECK(source.error().status() == Status::invalid_argument);
        CHECK(source.error().message() ==
              cat(name, ": bytes ", offset, " to ", offset, " + ", n, " leave the file of 100"));
        CHECK(source.error().object() == name);
    }
    const auto none = ByteSource::map_fd(-1, 0, 0);
    REQUIRE(!none);
    CHECK(none.error().status() == Status::io);
    CHECK(none.error().message() == "descriptor -1: cannot read its size: Bad file descriptor");
    int pipes[2];
    REQUIRE(::pipe(pipes) == 0);
    const auto pipe = ByteSource::map_fd(pipes[0], 0, 0);
    REQUIRE(!pipe);
    CHECK(pipe.error().message() == cat("descriptor ", pipes[0], ": not a regular file"));
    ::close(pipes[0]), ::close(pipes[1]);
    const int for_writing = ::open(file.path.c_str(), O_WRONLY);
    const auto unreadable = ByteSource::map_fd(for_writing, 0, 0);
    REQUIRE(!unreadable);
    CHECK(unreadable.error().message() == cat("descriptor ", for_writing, ": cannot map: Permission denied"));
    CHECK(is_open(for_writing));
    ::close(for_writing);
    const auto nul = ByteSource::map_path(std::string_view("a\0b", 3));
    REQUIRE(!nul);
    CHECK(nul.error().message() == "path \"a\\x00b\": a path cannot hold a NUL byte");
}

TEST_CASE("bytes: mapping a path leaves no descriptor open, whether it succeeds or not") {
    const File file(10);
    const int before = ::dup(file.fd);
    ::close(before);
    for (int i = 0; i < 10; ++i) {
        CHECK(ByteSource::map_path(file.path));
        CHECK(!ByteSource::map_path("/"));
        CHECK(!ByteSource::map_path(file.path + "_none"));
    }
    const int after = ::dup(file.fd);
    CHECK(after == before);
    ::close(after);
}

TEST_CASE("bytes: sources move; released pages are read again") {
    const File file(50000);
    auto a = ByteSource::map_path(file.path);
    REQUIRE(a);
    ByteSource moved = *std::move(a);
    check_bytes(moved, 0, 50000);
    const char text[] = "borrowed";
    ByteSource other = ByteSource::borrow(std::as_bytes(std::span(text)), "here");
    CHECK(other.name() == "here");
    other.will_need(0, 9), other.release(0, 9);  // nothing to tell the system
    CHECK(other.bytes().data() == reinterpret_cast<const std::byte*>(text));
    other = std::move(moved);
    const size_t ranges[][2] = {{0, 50000}, {1, 4096}, {4095, 8194}, {49999, 1}, {7, 0}};
    for (const auto& range : ranges) {
        other.will_need(range[0], range[1]), other.release(range[0], range[1]);
        check_bytes(other, 0, 50000);
    }
}

TEST_CASE("aligned buffers: zeroed, aligned, movable, and refused by name") {
    constexpr size_t mib = size_t{1} << 20;
    for (const size_t n : {size_t{1}, size_t{64}, size_t{4097}, 4 * mib - 1, 4 * mib, 9 * mib}) {
        CAPTURE(n);
        auto made = AlignedBuffer::make(n, "test");
        REQUIRE(made);
        AlignedBuffer buffer = *std::move(made);
        REQUIRE(buffer.size() == n);
        CHECK(reinterpret_cast<uintptr_t>(buffer.data()) % (n >= 4 * mib ? 2 * mib : 64) == 0);
        CHECK(std::all_of(buffer.bytes().begin(), buffer.bytes().end(), [](std::byte b) { return b == std::byte{}; }));
        std::memset(buffer.data(), 1, n);
        CHECK(buffer.as<uint8_t>(n - 1)[0] == 1);
        std::byte* const data = buffer.data();
        AlignedBuffer moved(std::move(buffer));
        CHECK(moved.data() == data);
        moved = AlignedBuffer();
        CHECK(moved.size() == 0);
    }
    CHECK(AlignedBuffer::make(0, "nothing")->data() == nullptr);
    for (const size_t n : {size_t{1} << 62, SIZE_MAX / 2, SIZE_MAX / 2 + 1, SIZE_MAX}) {
        const auto refused = AlignedBuffer::make(n, "the cache");
        REQUIRE(!refused);
        CHECK(refused.error().status() == Status::out_of_memory);
        CHECK(refused.error().message() == cat("the cache: cannot allocate ", n, " bytes"));
    }
}
