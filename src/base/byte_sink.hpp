// Where a file's bytes go: a path, a descriptor, or a function of the caller. The counterpart of ByteSource.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace elver {

// Takes the next bytes. What it answers on failure ends the writing.
using ByteSink = std::function<Result<void>(std::span<const std::byte>)>;

// Writes what body gives its sink to a neighbour of path and renames it: a file appears under its name only when it is
// complete, and after an error nothing is left behind.
Result<void> write_path(const std::string& path, const std::function<Result<void>(const ByteSink&)>& body);

// Writes to a descriptor, which stays the caller's.
ByteSink descriptor_sink(int fd);

}  // namespace elver
