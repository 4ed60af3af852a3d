// Kernels beside what the machine can do at most. --benchmark_filter=gemv_q4 chooses.
#include "kernels/machine.hpp"

int main(int argc, char** argv) {
    elver::bench::register_matmul();
    elver::bench::register_attention();
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
