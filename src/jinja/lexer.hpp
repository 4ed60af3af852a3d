// Splits a template into tokens, with jinja2's white-space rules for trim_blocks and lstrip_blocks: what a chat
// template's author tested with. Source: the "Whitespace Control" chapter of the Jinja template documentation.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jinja/python/value.hpp"

namespace elver::jinja {

enum class TokenKind { text, block_begin, block_end, print_begin, print_end, name, string, integer, real, op, end };

struct Token {
    TokenKind kind;
    int line;
    std::string text;  // text, name, string (unescaped), op
    Int integer = 0;
    double real = 0;
};

// Ends with one token of kind end. source is valid UTF-8.
Result<std::vector<Token>> tokenize(std::string_view source);

// "line N: what": a template that is broken, and one that asks for what elver does not have.
Error broken_at(int line, std::string_view what);
Error unsupported_at(int line, std::string_view what);

}  // namespace elver::jinja
