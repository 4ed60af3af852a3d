// Model files for the tests of the ABI: a tiny llama with random weights, and changed copies of it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace capi_test {

using Bytes = std::vector<std::byte>;

// Its vocabulary has 61 tokens, its context 64 positions, its file no chat template.
std::string tiny_path();
Bytes read_bytes(const std::string& path);
// The same with a chat template, and with tokens enough to spell it.
Bytes tiny_with_template();

}  // namespace capi_test
