#include "base/cpu.hpp"

#include <unistd.h>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>
#include <thread>
#include <utility>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sched.h>
#include <sys/auxv.h>
#endif
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "base/text.hpp"

namespace elver {

namespace {

#if defined(__x86_64__)
uint64_t saved_registers() noexcept {
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<uint64_t>(high) << 32) | low;
}

CpuFeatures detect() noexcept {
    CpuFeatures f;
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
    const bool osxsave = c & (1u << 27), fma = c & (1u << 12), f16c = c & (1u << 29);
    if (!osxsave || !fma || !f16c) return f;
    const uint64_t saved = saved_registers();
    const bool ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xe6) == 0xe6;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
    const bool bmi2 = b & (1u << 8);
    f.avx2 = ymm && bmi2 && (b & (1u << 5));
    const bool f512 = (b & (1u << 16)) && (b & (1u << 17)) && (b & (1u << 30)) && (b & (1u << 31));  // F DQ BW VL
    f.avx512vnni = f.avx2 && zmm && f512 && (c & (1u << 11));
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) {
        f.avxvnni = f.avx2 && (a & (1u << 4));
        f.avx512bf16 = f.avx512vnni && (a & (1u << 5));
        // Of the products a cycle that f32 reaches, Intel's cores make half (Emerald Rapids), AMD's twice as many.
        f.slow_bf16 = __builtin_cpu_is("intel");
    }
    return f;
}
#elif defined(__aarch64__) && defined(__APPLE__)
bool system_flag(const char* name) noexcept {
    int value = 0;
    size_t size = sizeof value;
    return ::sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

CpuFeatures detect() noexcept {
    CpuFeatures f;
    f.neon_dotprod = system_flag("hw.optional.arm.FEAT_DotProd");
    f.neon_i8mm = f.neon_dotprod && system_flag("hw.optional.arm.FEAT_I8MM");
    return f;
}
#elif defined(__aarch64__) && defined(__linux__)
CpuFeatures detect() noexcept {
    constexpr unsigned long hwcap_dotprod = 1ul << 20, hwcap_fphp = 1ul << 9, hwcap_asimdhp = 1ul << 10;
    constexpr unsigned long hwcap2_i8mm = 1ul << 13;
    const unsigned long hwcap = ::getauxval(AT_HWCAP), hwcap2 = ::getauxval(AT_HWCAP2);
    CpuFeatures f;
    f.neon_dotprod = (hwcap & hwcap_dotprod) && (hwcap & hwcap_fphp) && (hwcap & hwcap_asimdhp);
    f.neon_i8mm = f.neon_dotprod && (hwcap2 & hwcap2_i8mm);
    return f;
}
#else
CpuFeatures detect() noexcept {
    return {};
}
#endif

#if defined(__linux__)
// Distinct physical cores in the affinity mask: two hardware threads of a core count once.
int affinity_cores() {
    cpu_set_t mask;
    if (::sched_getaffinity(0, sizeof mask, &mask) != 0) return 0;
    std::set<std::pair<int, int>> cores;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &mask)) continue;
        const std::string topology = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
        int package = 0, core = cpu;
        std::ifstream(topology + "physical_package_id") >> package;
        if (!(std::ifstream(topology + "core_id") >> core)) core = cpu;
        cores.emplace(package, core);
    }
    return static_cast<int>(cores.size());
}
#endif

}  // namespace

// The path of this process's cgroup in the hierarchy that has the controller ("" is version 2's only one).
static std::string cgroup_path(const std::string& root, std::string_view controller) {
    std::ifstream in(root + "/proc/self/cgroup");
    for (std::string line; std::getline(in, line);) {  // NUMBER:CONTROLLER,CONTROLLER:/PATH
        const size_t first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string all = cat(",", line.substr(first + 1, second - first - 1), ",");
        if (all.find(cat(",", controller, ",")) != std::string::npos) return line.substr(second + 1);
    }
    return "/";
}

int cgroup_cores(const std::string& root) {
    int cores = 0;
    const auto quota = [&](double us, double period) {
        if (!(us > 0) || !(period > 0)) return;
        const int bought = std::clamp(static_cast<int>(std::min(us / period + 0.5, 1e6)), 1, 1000000);
        cores = cores == 0 ? bought : std::min(cores, bought);
    };
    // A container may not see the folders of the groups above its own; the mount's root is then its own.
    const auto upwards = [](std::string path, auto&& visit) {
        while (!path.empty()) {
            if (path.back() == '/') path.pop_back();
            visit(path);
            path.resize(path.find_last_of('/') == std::string::npos ? 0 : path.find_last_of('/') + 1);
        }
    };
    upwards(cgroup_path(root, ""), [&](const std::string& path) {
        std::ifstream in(root + "/sys/fs/cgroup" + path + "/cpu.max");
        double us = 0, period = 0;
        if (in >> us >> period) quota(us, period);  // "max 100000" is no number: no quota
    });
    upwards(cgroup_path(root, "cpu"), [&](const std::string& path) {
        const std::string folder = root + "/sys/fs/cgroup/cpu" + path;
        std::ifstream us_in(folder + "/cpu.cfs_quota_us"), period_in(folder + "/cpu.cfs_period_us");
        double us = 0, period = 0;
        if (us_in >> us && period_in >> period) quota(us, period);  // -1: no quota
    });
    return cores;
}

const CpuFeatures& cpu_features() noexcept {
    static const CpuFeatures features = detect();
    return features;
}

std::string cpu_name() {
#if defined(__APPLE__)
    char name[128] = {};
    size_t size = sizeof name - 1;
    if (::sysctlbyname("machdep.cpu.brand_string", name, &size, nullptr, 0) == 0) return name;
#elif defined(__x86_64__)
    unsigned regs[12] = {};
    if (__get_cpuid_max(0x80000000u, nullptr) >= 0x80000004u) {
        for (unsigned i = 0; i < 3; ++i) {
            __get_cpuid(0x80000002u + i, &regs[4 * i], &regs[4 * i + 1], &regs[4 * i + 2], &regs[4 * i + 3]);
        }
        std::string name(reinterpret_cast<const char*>(regs), sizeof regs);
        name.resize(std::strlen(name.c_str()));
        const size_t end = name.find_last_not_of(' ');
        if (end != std::string::npos) return name.substr(name.find_first_not_of(' '), end + 1);
    }
#endif
    return "unknown";
}

uint64_t physical_memory() noexcept {
    const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
    return pages < 0 || page < 0 ? 0 : static_cast<uint64_t>(pages) * static_cast<uint64_t>(page);
}

int usable_cores() {
    int cores = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
    if (const int bound = affinity_cores(); bound > 0) cores = bound;
    if (const int bound = cgroup_cores(""); bound > 0) cores = std::min(cores, bound);
#elif defined(__APPLE__)
    // Performance cores only: an efficiency core in the team makes every barrier wait for it.
    int performance = 0;
    size_t size = sizeof performance;
    if (::sysctlbyname("hw.perflevel0.physicalcpu", &performance, &size, nullptr, 0) == 0 && performance > 0) {
        cores = performance;
    }
#endif
    return std::max(cores, 1);
}

}  // namespace elver
