# Dependencies come from the system; the floors are Debian 12's versions. ELVER_FETCH_DEPENDENCIES downloads what is missing.
include(FetchContent)
if(POLICY CMP0135)
    cmake_policy(SET CMP0135 NEW)
endif()
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# elver_fetch(NAME what url sha256 folder): makes a release archive, which has its CMakeLists.txt in folder, a part of the build,
# or ends with what is missing where that is not allowed. Only what elver links is built, and nothing of it is installed.
# Sets NAME_SOURCE_DIR and NAME_BINARY_DIR.
function(elver_fetch name what url sha256 folder)
    if(NOT ELVER_FETCH_DEPENDENCIES)
        message(FATAL_ERROR "elver needs ${what}, which is not installed. Install it with the system's packages, or "
                            "configure with -DELVER_FETCH_DEPENDENCIES=ON.")
    endif()
    message(STATUS "${what} is not installed: using ${url}")
    # What the archives' own options are to be.
    set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)
    set(CMAKE_POLICY_DEFAULT_CMP0126 NEW)
    foreach(option BUILD_SHARED_LIBS BUILD_TESTING EIGEN_BUILD_DOC JSON_BuildTests ZSTD_BUILD_PROGRAMS ZSTD_BUILD_SHARED
                   ZSTD_BUILD_TESTS ZSTD_LEGACY_SUPPORT PCRE2_BUILD_PCRE2GREP PCRE2_BUILD_TESTS CLI11_BUILD_TESTS
                   CLI11_BUILD_EXAMPLES DOCTEST_WITH_TESTS BENCHMARK_ENABLE_TESTING)
        set(${option} OFF)
    endforeach()
    set(PCRE2_SUPPORT_JIT ON)
    FetchContent_Declare(${name} URL ${url} URL_HASH SHA256=${sha256})
    FetchContent_GetProperties(${name})
    if(NOT ${name}_POPULATED)
        FetchContent_Populate(${name})
    endif()
    string(TOLOWER ${name} lower)
    add_subdirectory(${${lower}_SOURCE_DIR}/${folder} ${${lower}_BINARY_DIR} EXCLUDE_FROM_ALL)
    set(${name}_SOURCE_DIR ${${lower}_SOURCE_DIR} PARENT_SCOPE)
    set(${name}_BINARY_DIR ${${lower}_BINARY_DIR} PARENT_SCOPE)
endfunction()

# elver_dependency(NAME version url sha256): what CMake finds as a package.
function(elver_dependency name version url sha256)
    find_package(${name} ${version} QUIET)
    if(NOT ${name}_FOUND)
        elver_fetch(${name} "${name} ${version} or newer" ${url} ${sha256} "")
    endif()
endfunction()

elver_dependency(Eigen3 3.4 https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.bz2
                 b4c198460eba6f28d34894e3a5710998818515104d6e74e5cc331ce31e46e626)
elver_dependency(xsimd 8.1 https://github.com/xtensor-stack/xsimd/archive/refs/tags/8.1.0.tar.gz
                 d52551360d37709675237d2a0418e28f70995b5b7cdad7c674626bcfbbf48328)
# Headers only: the target in Debian's package names a library, xtl, which is for complex numbers and not installed with it.
get_target_property(ELVER_XSIMD_INCLUDE_DIR xsimd INTERFACE_INCLUDE_DIRECTORIES)
add_library(elver_dep_xsimd INTERFACE)
target_include_directories(elver_dep_xsimd SYSTEM INTERFACE $<BUILD_INTERFACE:${ELVER_XSIMD_INCLUDE_DIR}>)
add_library(elver::xsimd ALIAS elver_dep_xsimd)

# elver_library(NAME header library what [url sha256 folder target includes definition]): a library without a CMake package in
# Debian, found by header and library, or fetched: then target is what its archive builds, includes where its headers lie.
# Gives an imported target elver::NAME.
function(elver_library name header library what)
    # Not zstd: Debian's static one is no position-independent code.
    if(ELVER_STATIC_DEPENDENCIES AND NOT name STREQUAL "zstd")
        list(PREPEND CMAKE_FIND_LIBRARY_SUFFIXES .a)
    endif()
    find_path(ELVER_${name}_INCLUDE_DIR ${header})
    find_library(ELVER_${name}_LIBRARY ${library})
    mark_as_advanced(ELVER_${name}_INCLUDE_DIR ELVER_${name}_LIBRARY)
    add_library(elver_dep_${name} INTERFACE)
    add_library(elver::${name} ALIAS elver_dep_${name})
    if(ELVER_${name}_INCLUDE_DIR AND ELVER_${name}_LIBRARY)
        set(includes ${ELVER_${name}_INCLUDE_DIR})
        target_link_libraries(elver_dep_${name} INTERFACE ${ELVER_${name}_LIBRARY})
    elseif(ARGC EQUAL 4)
        message(FATAL_ERROR "elver needs ${what}: header ${header} and library ${library} were not found. "
                            "Install it with the system's packages.")
    else()
        list(POP_FRONT ARGN url sha256 folder target includes definition)
        elver_fetch(${name} "${what}" ${url} ${sha256} "${folder}")
        string(CONFIGURE "${includes}" includes)
        target_link_libraries(elver_dep_${name} INTERFACE ${target})
        target_compile_definitions(elver_dep_${name} INTERFACE ${definition})
    endif()
    target_include_directories(elver_dep_${name} SYSTEM INTERFACE $<BUILD_INTERFACE:${includes}>)
endfunction()
elver_library(zstd zstd.h zstd "zstd 1.5 or newer" https://github.com/facebook/zstd/releases/download/v1.5.4/zstd-1.5.4.tar.gz
              0f470992aedad543126d06efab344dc5f3e171893810455787d38347343a4424 build/cmake libzstd_static "\${zstd_SOURCE_DIR}/lib")
elver_library(pcre2 pcre2.h pcre2-8 "PCRE2 10.40 or newer"
              https://github.com/PCRE2Project/pcre2/releases/download/pcre2-10.42/pcre2-10.42.tar.gz
              c33b418e3b936ee3153de2c61cc638e7e4fe3156022a5c77d0711bcbb9d64f1f "" pcre2-8-static "\${pcre2_BINARY_DIR}" PCRE2_STATIC)
elver_library(utf8proc utf8proc.h utf8proc "utf8proc 2.7 or newer"
              https://github.com/JuliaStrings/utf8proc/archive/refs/tags/v2.8.0.tar.gz
              a0a60a79fe6f6d54e7d411facbfcc867a6e198608f2cd992490e46f04b1bcecc "" utf8proc "\${utf8proc_SOURCE_DIR}" UTF8PROC_STATIC)

if(ELVER_PROGRAM OR ELVER_TESTS)
    elver_dependency(nlohmann_json 3.11 https://github.com/nlohmann/json/archive/refs/tags/v3.11.2.tar.gz
                     d69f9deb6a75e2580465c6c4c5111b89c4dc2fa94e3a85fcd2ffcd9a143d9273)
endif()
if(ELVER_PROGRAM)
    elver_dependency(CLI11 2.1 https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.3.2.tar.gz
                     aac0ab42108131ac5d3344a9db0fdf25c4db652296641955720a4fbe52334e22)
endif()
if(ELVER_TESTS)
    elver_dependency(doctest 2.4 https://github.com/doctest/doctest/archive/refs/tags/v2.4.9.tar.gz
                     19b2df757f2f3703a5e63cee553d85596875f06d91a3333acd80a969ef210856)
endif()
if(ELVER_BENCH)
    elver_dependency(benchmark 1.7 https://github.com/google/benchmark/archive/refs/tags/v1.7.1.tar.gz
                     6430e4092653380d9dc4ccb45a1e2dc9259d581f4866dc0759713126056bc1d7)
endif()
