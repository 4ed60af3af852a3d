// Runs arguments.c, which is C99 like many hosts.
#include "files.hpp"

#include <doctest/doctest.h>

extern "C" int wrong_arguments(const char* path, char* log, size_t log_size);

TEST_CASE("capi: every function, called with NULL or nonsense in each place, answers an error") {
    char log[4096] = "";
    const int n_wrong = wrong_arguments(capi_test::tiny_path().c_str(), log, sizeof log);
    CHECK_MESSAGE(n_wrong == 0, log);
}
