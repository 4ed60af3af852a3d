// Runs arguments.c and arguments_ops.c, which are C99 like many hosts. symbols.py sees that no function is missing
// there.
#include <doctest/doctest.h>

#include "files.hpp"

extern "C" int wrong_arguments(const char* path, char* log, size_t log_size);
extern "C" int wrong_operations(char* log, size_t log_size);

TEST_CASE("capi: every function, called with NULL or nonsense in each place, answers an error") {
    char log[8192] = "";
    const int n_wrong = wrong_arguments(capi_test::tiny_path().c_str(), log, sizeof log);
    CHECK_MESSAGE(n_wrong == 0, log);
}

TEST_CASE("capi: every operation, called with NULL or nonsense in each place, answers an error") {
    char log[8192] = "";
    const int n_wrong = wrong_operations(log, sizeof log);
    CHECK_MESSAGE(n_wrong == 0, log);
}
