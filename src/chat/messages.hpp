// Messages as clients of the OpenAI API send them, made into what chat templates expect, which were written for the
// forms of Hugging Face transformers.
#pragma once

#include "base/result.hpp"
#include "chat/template.hpp"

namespace elver {

// Changes the messages, tools and documents of a template's variables, where they are there:
// - content that is null or missing becomes an empty text,
// - parts of text are joined, unless the template takes a list of parts,
// - the role developer becomes system in a template that does not know it,
// - arguments of tool calls that are given as JSON text become a mapping, or, in a template that takes only text, the
//   other way round.
// What cannot be done is an error that names the message: parts that are not text, content of another type, tool calls
// for a template that does not read them. So are tools or documents; an empty list of any asks for nothing.
Result<void> prepare_messages(const ChatTemplate& chat, Json& variables);

}  // namespace elver
