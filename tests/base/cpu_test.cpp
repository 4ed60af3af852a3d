// What the processor can do, as the system's own list has it, and how much of it this process may use.
#include <unistd.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

#include <doctest/doctest.h>

#include "base/cpu.hpp"
#include "base/text.hpp"

using namespace elver;

#if defined(__linux__)

TEST_CASE("cpu: features are those that the system lists") {
    std::ifstream in("/proc/cpuinfo");
    std::string flags;
    for (std::string line; flags.empty() && std::getline(in, line);) {
        if (line.starts_with("flags") || line.starts_with("Features")) flags = line.substr(line.find(':') + 1) + " ";
    }
    REQUIRE(!flags.empty());
    const auto all = [&](const std::string& names) {
        std::istringstream words(names);
        for (std::string word; words >> word;) {
            if (flags.find(cat(" ", word, " ")) == std::string::npos) return false;
        }
        return true;
    };
    const CpuFeatures& f = cpu_features();
    CAPTURE(flags);
    const std::string avx2 = "avx2 fma f16c bmi2 ", avx512 = avx2 + "avx512f avx512bw avx512vl avx512dq avx512_vnni ";
    CHECK(f.avx2 == all(avx2));
    CHECK(f.avxvnni == all(avx2 + "avx_vnni"));
    CHECK(f.avx512vnni == all(avx512));
    CHECK(f.avx512bf16 == all(avx512 + "avx512_bf16"));
    CHECK(f.neon_dotprod == all("asimddp fphp asimdhp"));
    CHECK(f.neon_i8mm == all("asimddp fphp asimdhp i8mm"));
}

TEST_CASE("cpu: a thread bound to one processor may use one core") {
    const int before = usable_cores();
    CHECK(before >= 1);
    std::thread([] {
        cpu_set_t all, one;
        REQUIRE(::sched_getaffinity(0, sizeof all, &all) == 0);
        CPU_ZERO(&one);
        for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i) {
            if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
        }
        REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
        CHECK(usable_cores() == 1);
    }).join();
    CHECK(usable_cores() == before);
}

namespace {

// A folder with the system's files in it.
struct System {
    std::filesystem::path root = std::filesystem::temp_directory_path() / cat("elver_cpu_", ::getpid());
    ~System() { std::filesystem::remove_all(root); }
    void put(const std::string& path, const std::string& text) const {
        std::filesystem::create_directories((root / path).parent_path());
        std::ofstream(root / path) << text;
    }
};

}  // namespace

TEST_CASE("cpu: the quota is the least of the group's and those above it, in either version of cgroups") {
    struct Row {
        std::vector<std::pair<const char*, const char*>> files;
        int cores;
    };
    const char *const own = "proc/self/cgroup", *const top = "sys/fs/cgroup/cpu.max",
                      *const outer = "sys/fs/cgroup/a/cpu.max", *const inner = "sys/fs/cgroup/a/b/cpu.max";
    const char *const quota_g = "sys/fs/cgroup/cpu/g/cpu.cfs_quota_us", *const period_g =
                                                                            "sys/fs/cgroup/cpu/g/cpu.cfs_period_us";
    const Row rows[] = {
        {{}, 0},
        {{{own, "0::/\n"}}, 0},
        {{{own, "0::/\n"}, {top, "max 100000\n"}}, 0},
        {{{own, "0::/\n"}, {top, "200000 100000\n"}}, 2},
        {{{own, "0::/\n"}, {top, "50000 100000\n"}}, 1},
        {{{own, "0::/\n"}, {top, "1000 100000\n"}}, 1},
        {{{own, "0::/a/b\n"}, {inner, "400000 100000"}}, 4},
        {{{own, "0::/a/b\n"}, {inner, "400000 100000"}, {outer, "300000 100000"}}, 3},
        {{{own, "0::/a/b\n"}, {inner, "max 100000"}, {outer, "max 100000"}}, 0},
        {{{own, "0::/a/b\n"}, {inner, "200000 100000"}, {outer, "300000 100000"}}, 2},
        {{{own, "0::/c\n"}, {inner, "200000 100000"}}, 0},
        {{{own, "0::/of/the/host\n"}, {top, "200000 100000"}}, 2},
        {{{own, "0::/\n"}, {top, ""}}, 0},
        {{{own, "0::/\n"}, {top, "nonsense"}}, 0},
        {{{own, "0::/\n"}, {top, "100000 0"}}, 0},
        {{{own, "0::/\n"}, {top, "-5 100000"}}, 0},
        {{{own, "0::/\n"}, {top, "1e300 1"}}, 1000000},
        {{{own, "5:memory:/m\n2:cpu,cpuacct:/g\n0::/\n"}, {quota_g, "250000"}, {period_g, "50000"}}, 5},
        {{{own, "2:cpu,cpuacct:/g\n"},
          {quota_g, "-1"},
          {period_g, "100000"},
          {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000"},
          {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"}},
         3},
    };
    for (const Row& row : rows) {
        const System system;
        std::string shown;
        for (const auto& [path, text] : row.files) {
            system.put(path, text);
            shown += cat(path, " ", in_quotes(text), "; ");
        }
        CAPTURE(shown);
        CHECK(cgroup_cores(system.root) == row.cores);
    }
}

#endif

TEST_CASE("cpu: the processor has a name that can be shown") {
    CHECK(!cpu_name().empty());
    CHECK(cpu_name().find('\0') == std::string::npos);
}
