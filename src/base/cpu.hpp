// What this processor can do and how much of it this process may use.
#pragma once

#include <cstdint>
#include <string>

namespace elver {

struct CpuFeatures {
    bool avx2 = false;        // with FMA, F16C and BMI2
    bool avxvnni = false;     // 256-bit VPDPBUSD, VEX-coded
    bool avx512vnni = false;  // with F, BW, VL, DQ
    bool avx512bf16 = false;
    bool slow_bf16 = false;  // dots of bfloat16 do less a cycle than multiply-adds in f32
    bool neon_dotprod = false;
    bool neon_i8mm = false;
};

// Read once from CPUID (x86) or the system (aarch64), including whether the system saves the registers.
const CpuFeatures& cpu_features() noexcept;

// The processor's name for people, as "AMD EPYC"; "unknown" where the system does not say.
std::string cpu_name();

// Cores that the CPU quotas of this process's cgroup and of those above it buy, at least 1; 0 where there is no quota.
// root: where the system's /proc and /sys lie, "" but in tests.
int cgroup_cores(const std::string& root);

// Bytes of memory that this machine has; 0 where the system does not say.
uint64_t physical_memory() noexcept;

// Physical cores that this process may run on at once: hardware, affinity mask and cgroup quota; at least 1.
int usable_cores();

}  // namespace elver
