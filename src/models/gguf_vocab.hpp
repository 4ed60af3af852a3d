// What a GGUF file holds below "tokenizer.": its vocabulary and its chat template.
#pragma once

#include <memory>

#include "base/result.hpp"
#include "chat/template.hpp"
#include "formats/gguf.hpp"
#include "tokenizer/tokenizer.hpp"

namespace elver {

// From a file that may hold no tensors. Fails with unsupported where the file has a vocabulary that elver cannot use,
// or none.
Result<std::shared_ptr<const Tokenizer>> tokenizer_from_gguf(const Gguf& file);

// For such a file: knows its tokens, if any, and which end an answer, but neither reads nor writes text.
Result<std::shared_ptr<const Tokenizer>> textless_from_gguf(const Gguf& file);

// Fails with unsupported where the file has no template; errors name file and key.
ModelTemplates templates_from_gguf(const Gguf& file);

}  // namespace elver
