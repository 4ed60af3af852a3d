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
// A model with this chat template, and with a tensor of that name if it is not empty.
Bytes changed(const std::string& path, const std::string& chat_template, const std::string& tensor);

}  // namespace capi_test
