// Where a program's buffers lie in memory: those that are never in use at the same time share it.
#pragma once

#include <span>
#include <vector>

#include "graph/program.hpp"

namespace elver::graph {

// Memory that is used from operation `first` to operation `last`, both included; of none when last < first.
struct Lifetime {
    int first = 0, last = -1;
    size_t n_bytes = 0;
};

// From its first use to its last. What is used on both sides of head_begin lives to the end, since head and hidden
// states may be made several times; so do the program's results, which are read after their part has run.
std::vector<Lifetime> lifetimes(const Program& program);

// An offset for each piece of memory, a multiple of 64, so that pieces whose lifetimes meet do not overlap. An
// operation is complete before the next one begins, so an end and a beginning at different operations do not meet.
struct Placement {
    std::vector<size_t> at;
    size_t n_bytes = 0;
};
Placement place(std::span<const Lifetime> pieces);

// An error that names the first operation which reads what nobody wrote, touches columns that its buffer does not have,
// or mixes rows of tokens with rows of outputs. For tests: a program that ModelBuilder makes is good.
Result<void> check(const Program& program);

}  // namespace elver::graph
