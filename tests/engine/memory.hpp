// What this process takes of memory, where the system tells (Linux); zeros elsewhere, and under sanitizers, which take
// more than what they watch.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <string>

namespace elver::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool can_tell_memory = false;
#else
constexpr bool can_tell_memory = true;
#endif

// Resident bytes in all and without the pages of mapped files, which the system may take back at any time (as it does
// with the rows of an embedding that are read in place).
struct Resident {
    int64_t all = 0, own = 0;
};
inline Resident resident() {
    if (!can_tell_memory) return {};
    std::ifstream in("/proc/self/statm");
    int64_t size = 0, pages = 0, shared = 0;
    in >> size >> pages >> shared;
    return {pages * sysconf(_SC_PAGESIZE), (pages - shared) * sysconf(_SC_PAGESIZE)};
}

// The most that was resident since reset_peak(), which answers whether the system can do that.
inline bool reset_peak() {
    if (!can_tell_memory) return false;
    std::ofstream out("/proc/self/clear_refs");
    out << 5 << std::flush;
    return out.good();
}
inline int64_t peak() {
    std::ifstream in("/proc/self/status");
    for (std::string word; in >> word;) {
        int64_t kib = 0;
        if (word == "VmHWM:" && in >> kib) return kib * 1024;
    }
    return 0;
}

}  // namespace elver::test
