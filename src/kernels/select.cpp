#include "kernels/select.hpp"

#include <cstdlib>
#include <string>
#include <utility>

#include "base/cpu.hpp"
#include "base/text.hpp"

namespace elver {

extern const KernelTable table_reference;
#define ELVER_LEVEL(name) extern const KernelTable table_##name;
#include "kernels/levels.inc"
#undef ELVER_LEVEL

namespace {

struct Level {
    const KernelTable* table;
    bool CpuFeatures::*needs;
};

// Best first, but for what available_kernels() knows of some processors.
constexpr Level levels[] = {
#define ELVER_LEVEL(name) {&table_##name, &CpuFeatures::name},
#include "kernels/levels.inc"
#undef ELVER_LEVEL
};

}  // namespace

std::vector<const char*> available_kernels() {
    std::vector<const char*> names;
    for (const Level& level : levels) {
        if (cpu_features().*level.needs) names.push_back(level.table->name);
    }
    names.push_back(table_reference.name);
    // The next level has all of the best one but its dots of bfloat16.
    if (cpu_features().avx512bf16 && cpu_features().slow_bf16) std::swap(names[0], names[1]);
    return names;
}

Result<const KernelTable*> find_kernels(std::string_view name) {
    for (const Level& level : levels) {
        if (name == level.table->name && cpu_features().*level.needs) return level.table;
    }
    if (name == table_reference.name) return &table_reference;
    std::string known;
    for (const char* level : available_kernels()) known += known.empty() ? level : cat(", ", level);
    return Error(Status::unsupported, cat("instruction set ", in_quotes(name), ": this machine has ", known),
                 "ELVER_FORCE_ISA");
}

Result<const KernelTable*> select_kernels() {
    const char* forced = std::getenv("ELVER_FORCE_ISA");
    return find_kernels(forced != nullptr && *forced != '\0' ? forced : available_kernels().front());
}

}  // namespace elver
