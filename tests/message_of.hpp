// What a result says, for the messages of assertions: nothing when it holds a value, so that it may always be asked.
#pragma once

#include <string>

#include "base/result.hpp"

namespace elver::test {

template <class T>
std::string message_of(const Result<T>& result) {
    return result ? std::string() : std::string(result.error().message());
}

}  // namespace elver::test
