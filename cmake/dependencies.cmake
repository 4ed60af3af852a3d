# Dependencies come from the system; the floors are Debian 12's versions. ELVER_FETCH_DEPENDENCIES downloads what is missing.
include(FetchContent)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# elver_dependency(NAME version url): find_package first, then, when allowed, FetchContent of a release archive.
function(elver_dependency name version url)
    find_package(${name} ${version} QUIET)
    if(${name}_FOUND)
        return()
    endif()
    if(NOT ELVER_FETCH_DEPENDENCIES)
        message(FATAL_ERROR "elver needs ${name} ${version} or newer, which is not installed. "
                            "Install it with the system's packages, or configure with -DELVER_FETCH_DEPENDENCIES=ON.")
    endif()
    FetchContent_Declare(${name} URL ${url})
    FetchContent_MakeAvailable(${name})
endfunction()

elver_dependency(Eigen3 3.4 https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.gz)
elver_dependency(xsimd 8.1 https://github.com/xtensor-stack/xsimd/archive/refs/tags/8.1.0.tar.gz)
# Headers only: the target in Debian's package names a library, xtl, which is for complex numbers and not installed with it.
get_target_property(ELVER_XSIMD_INCLUDE_DIR xsimd INTERFACE_INCLUDE_DIRECTORIES)
add_library(elver_dep_xsimd INTERFACE)
target_include_directories(elver_dep_xsimd SYSTEM INTERFACE $<BUILD_INTERFACE:${ELVER_XSIMD_INCLUDE_DIR}>)
add_library(elver::xsimd ALIAS elver_dep_xsimd)
elver_dependency(nlohmann_json 3.11 https://github.com/nlohmann/json/releases/download/v3.11.2/json.tar.xz)

# elver_library(NAME header library package): libraries without a CMake package in Debian, found by header
# and library; an imported target elver::NAME.
function(elver_library name header library package)
    # Not zstd: Debian's static one is no position-independent code.
    if(ELVER_STATIC_DEPENDENCIES AND NOT name STREQUAL "zstd")
        list(PREPEND CMAKE_FIND_LIBRARY_SUFFIXES .a)
    endif()
    find_path(ELVER_${name}_INCLUDE_DIR ${header})
    find_library(ELVER_${name}_LIBRARY ${library})
    mark_as_advanced(ELVER_${name}_INCLUDE_DIR ELVER_${name}_LIBRARY)
    if(NOT ELVER_${name}_INCLUDE_DIR OR NOT ELVER_${name}_LIBRARY)
        message(FATAL_ERROR "elver needs ${package}: header ${header} and library ${library} were not found. "
                            "Install it with the system's packages.")
    endif()
    add_library(elver_dep_${name} INTERFACE)
    target_include_directories(elver_dep_${name} SYSTEM INTERFACE $<BUILD_INTERFACE:${ELVER_${name}_INCLUDE_DIR}>)
    target_link_libraries(elver_dep_${name} INTERFACE ${ELVER_${name}_LIBRARY})
    add_library(elver::${name} ALIAS elver_dep_${name})
endfunction()
elver_library(zstd zstd.h zstd "zstd 1.5 or newer")
elver_library(pcre2 pcre2.h pcre2-8 "PCRE2 10.40 or newer")
elver_library(utf8proc utf8proc.h utf8proc "utf8proc 2.7 or newer")

if(ELVER_PROGRAM)
    elver_dependency(CLI11 2.1 https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.3.2.tar.gz)
endif()
if(ELVER_TESTS)
    elver_dependency(doctest 2.4 https://github.com/doctest/doctest/archive/refs/tags/v2.4.9.tar.gz)
endif()
if(ELVER_BENCH)
    elver_dependency(benchmark 1.7 https://github.com/google/benchmark/archive/refs/tags/v1.7.1.tar.gz)
endif()
