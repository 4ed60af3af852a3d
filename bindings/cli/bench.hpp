// What the parts of the command bench share.
#pragma once

#include <vector>

#include "commands.hpp"

namespace elver::cli {

double median(std::vector<double> values);

// Answers with and without drafted tokens, as rows of the command's output.
Json bench_speculation(const Model& model, const Options& o);

}  // namespace elver::cli
