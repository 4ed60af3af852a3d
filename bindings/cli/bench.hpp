// What the parts of the command bench share.
#pragma once

#include <vector>

#include "commands.hpp"

namespace elver::cli {

double median(std::vector<double> values);

// Measures answers with and without drafted tokens: a row of the output for each task.
Json bench_speculation(const Model& model, const Options& o);

}  // namespace elver::cli
