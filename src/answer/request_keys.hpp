// The keys of a request that say how it is answered, beside what it asks: sampling, length, stop strings,
// log-probabilities. A key that asks for nothing is accepted; one that asks for what is not done is an error that says
// so, and so is an unknown one.
#pragma once

#include <initializer_list>
#include <string_view>

#include "answer/generate.hpp"
#include "base/json.hpp"

namespace elver {

// "request: key "KEY": expected ..., found ..."
Error wrong_value(std::string_view key, std::string_view expected, const Json& found);
// A whole number, 5.0 too, that fits.
bool read_integer(const Json& value, int32_t& out);

// A request as an object, or an error; what names it.
Result<Json> parse_object(std::string_view text, std::string_view what);

// Reads every key but those of `own`, which the caller reads, over what the model's file asks for, and checks what was
// read.
Result<GenerateOptions> read_options(const Model& model, const Json& request,
                                     std::initializer_list<std::string_view> own);

}  // namespace elver
