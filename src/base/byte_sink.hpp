// Where bytes go: a function that takes them piece by piece. The counterpart of ByteSource.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>

#include "base/result.hpp"

namespace elver {

// Takes the next bytes. An error ends the writing and is returned to the writer.
using ByteSink = std::function<Result<void>(std::span<const std::byte>)>;

// Writes to a descriptor, which stays the caller's. A pipe whose reader has left is an error, not a signal. Errors call
// the descriptor by the name given, "descriptor N" without one.
ByteSink descriptor_sink(int fd, std::string name = {});

}  // namespace elver
