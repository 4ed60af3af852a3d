// AVX-512 with VNNI.
#include "kernels/x86/avx512.hpp"

namespace elver {

extern const KernelTable table_avx512vnni;
constinit const KernelTable table_avx512vnni = make_table<Avx512Vnni>("avx512vnni");

}  // namespace elver
