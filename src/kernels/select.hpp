// Which level runs: chosen once, at load.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "kernels/table.hpp"

namespace elver {

// The best level of this machine, or the one ELVER_FORCE_ISA names; a name the machine lacks is an error that lists
// those it has.
Result<const KernelTable*> select_kernels();
Result<const KernelTable*> find_kernels(std::string_view name);
// Names of the levels this machine can run, best first; "reference" is last.
std::vector<const char*> available_kernels();

}  // namespace elver
