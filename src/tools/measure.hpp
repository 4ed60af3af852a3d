// What the machine can do, measured with a model's threads and kernels: the denominators of benchmark fractions.
#pragma once

#include "engine/model.hpp"

namespace elver {

struct Machine {
    double dot_ops_per_s = 0;  // 0 where the level has no packed dot product
    double read_bytes_per_s = 0;
};

// Takes about a second and 256 MiB; the best of several rounds, since other work on the machine only slows it.
Result<Machine> measure_machine(const Model& model);

// Describes the processor, its levels and the one that a model opened now would use, as JSON. Fails where
// ELVER_FORCE_ISA names a level that is not here.
Result<std::string> describe_machine();
// The same with the level and the threads that this model uses.
std::string describe_machine(const Model& model);
// The file's metadata (long arrays cut) and tensors, as JSON.
std::string describe_metadata(const Gguf& file);
std::string describe_tensors(const Gguf& file);

}  // namespace elver
