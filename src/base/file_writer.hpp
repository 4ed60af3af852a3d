// Writes a file that appears under its name only when it is complete: every file that elver writes to a path.
//
// The bytes go to a file beside the target, which has no name where the file system can do that (Linux: nothing is left
// behind even if the process is killed), and else a random one. When all bytes are on the disk it takes the target's
// name in one step. Readers see the old file or the new one, and of several writers each file is whole.
//
// What a path leads to decides:
//   nothing, or a plain file   replaced as described; a file that is there keeps its permissions, and must be writable
//   a symbolic link            followed, also where its target is not there yet; the link stays
//   a pipe, a character device written straight through, as is a name below /dev/fd or /proc
//   anything else              an error: a folder, a socket, a block device
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_sink.hpp"
#include "base/result.hpp"

struct stat;

namespace elver {

class FileWriter {
  public:
    // Errors: an empty path or one with a NUL byte, a target as above, what the system refuses. A pipe is given some
    // seconds to find a reader.
    static Result<std::unique_ptr<FileWriter>> open(std::string_view path);
    // Without finish() nothing remains, and a file that was there stays.
    ~FileWriter();
    FileWriter(const FileWriter&) = delete;
    FileWriter& operator=(const FileWriter&) = delete;

    // Small pieces are gathered.
    Result<void> write(std::span<const std::byte> bytes);
    // The file is there, under its name and on the disk. Once.
    Result<void> finish();

  private:
    explicit FileWriter(std::string_view path) : path_(path) {}
    Result<void> open_through(const std::string& path, const struct stat& target);
    Result<void> open_beside(const std::string& path, const struct stat* target);
    Result<void> flush();
    bool take_name();
    Error failed(const char* doing) const;

    std::string path_;       // as given, for messages
    int fd_ = -1;            // what is written
    int folder_ = -1;        // of the target; -1: the target is written straight through
    std::string name_;       // of the target, in its folder
    std::string temporary_;  // of what is written, in the same folder; empty: it has no name
    std::vector<std::byte> buffer_;
    ByteSink sink_;
};

// Writes what body gives its sink. After an error of body nothing remains.
Result<void> write_file(std::string_view path, const std::function<Result<void>(const ByteSink&)>& body);

}  // namespace elver
