// Prints the levels that this machine is found to have, best first.
#include <cstdio>

#include "kernels/select.hpp"

int main() {
    for (const char* level : elver::available_kernels()) std::printf("%s\n", level);
}
