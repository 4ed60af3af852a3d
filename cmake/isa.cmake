# Flags of each instruction-set level, here and nowhere else. A kernel file is -O2 in every preset: at -O0 helper functions
# would leave it as weak symbols full of instructions that the linker may give to everyone.
string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" ELVER_PROCESSOR)
if(ELVER_PROCESSOR MATCHES "^(x86_64|amd64)$")
    set(ELVER_ARCH x86)
elseif(ELVER_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(ELVER_ARCH arm)
else()
    set(ELVER_ARCH other)
endif()

set(ELVER_ISA_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(ELVER_ISA_avxvnni ${ELVER_ISA_avx2} -mavxvnni)
set(ELVER_ISA_avx512vnni ${ELVER_ISA_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mprefer-vector-width=512)
set(ELVER_ISA_avx512bf16 ${ELVER_ISA_avx512vnni} -mavx512bf16)
set(ELVER_ISA_neon_dotprod -march=armv8.2-a+dotprod+fp16)
set(ELVER_ISA_neon_i8mm -march=armv8.2-a+dotprod+fp16+i8mm)

# elver_kernels(target level files...): adds files to a target with that level's flags.
function(elver_kernels target level)
    target_sources(${target} PRIVATE ${ARGN})
    set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS
        "${ELVER_ISA_${level}};-O2;-fno-sanitize=all;-ffp-contract=off;-fno-exceptions;-fno-rtti;-Wno-maybe-uninitialized;-Wno-uninitialized")
endfunction()
