#include "base/cpu.hpp"
#include "elver/elver_experimental.h"
#include "handles.hpp"
#include "tools/measure.hpp"

using namespace elver;
using namespace elver::capi;

#define ELVER_SPELLED(number) #number
#define ELVER_SPELL(a, b, c) ELVER_SPELLED(a) "." ELVER_SPELLED(b) "." ELVER_SPELLED(c)

const char* elver_version(void) {
    return ELVER_SPELL(ELVER_VERSION_MAJOR, ELVER_VERSION_MINOR, ELVER_VERSION_PATCH);
}
int32_t elver_version_number(void) {
    return ELVER_VERSION_NUMBER;
}

elver_status elver_threads_create(int32_t n_threads, elver_threads** out, elver_error** error) {
    if (out == nullptr) return null_argument(error, "out");
    return guarded(error, [&]() -> Result<void> {
        if (auto good = check_n_threads(n_threads); !good) return good;
        auto pool = ThreadPool::make(n_threads > 0 ? n_threads : usable_cores());
        if (!pool) return std::move(pool).error();
        *out = new elver_threads{*std::move(pool)};
        return {};
    });
}
int32_t elver_threads_count(const elver_threads* threads) {
    return threads == nullptr ? 0 : threads->pool->n_threads();
}
void elver_threads_release(elver_threads* threads) {
    delete threads;
}

elver_status elver_machine_describe(elver_text** out, elver_error** error) {
    if (out == nullptr) return null_argument(error, "out");
    return guarded(error, [&]() -> Result<void> {
        auto text = describe_machine();
        if (!text) return std::move(text).error();
        *out = new elver_text{*std::move(text)};
        return {};
    });
}

elver_status elver_model_measure(const elver_model* model, elver_machine* machine, elver_error** error) {
    if (machine == nullptr) return null_argument(error, "machine");
    return with_model(model, error, [&](const Model& m) -> Result<void> {
        const auto wanted = read_struct<elver_machine>(machine, ELVER_MACHINE_INIT, "elver_machine");
        if (!wanted) return wanted.error();
        const auto measured = measure_machine(m);
        if (!measured) return measured.error();
        write_struct<elver_machine>(machine, {0, measured->dot_ops_per_s, measured->read_bytes_per_s});
        return {};
    });
}
