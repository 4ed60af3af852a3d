// Which level runs: those of the machine, best first.
#include "kernels/select.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "base/cpu.hpp"

using namespace elver;

TEST_CASE("levels: the plain one is last, and dots of bfloat16 come first only where they are quick") {
    const auto names = available_kernels();
    const auto at = [&](std::string_view name) { return std::find(names.begin(), names.end(), name) - names.begin(); };
    CHECK(names.back() == std::string_view("reference"));
    for (const char* name : names) CHECK((*find_kernels(name))->name == std::string_view(name));
    if (cpu_features().avx512bf16) CHECK((at("avx512bf16") < at("avx512vnni")) == !cpu_features().slow_bf16);
    const auto missing = find_kernels("quantum");
    REQUIRE(!missing);
    CHECK(missing.error().status() == Status::unsupported);
    CHECK(missing.error().message().find("\"quantum\": this machine has " + std::string(names[0])) !=
          std::string::npos);
}
