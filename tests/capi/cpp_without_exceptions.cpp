// Compiled with -fno-exceptions: elver.hpp and elver_ops.hpp answer Expected<T>.
#include <elver/elver_ops.hpp>
#include <string>

bool cpp_without_exceptions(const char* path, std::string& log);

static bool operations(std::string& log) {
    if (elver::row_bytes((elver_dtype)5, 32)) return log = "a type that is none", false;
    auto ops = elver::Ops::open(1);
    if (!ops) return log = ops.error().message(), false;
    float x[4] = {1, 2, 3, 4}, y[1] = {0};
    const auto w = ops->pack(ELVER_DTYPE_F32, std::as_bytes(std::span(x)), 1, 4);
    if (!w) return log = w.error().message(), false;
    if (auto done = ops->matmul(*w, {x, 1, 4}, {y, 1, 1}); !done) return log = done.error().message(), false;
    if (y[0] != 30) return log = "product: " + std::to_string(y[0]), false;
    const auto wrong = ops->matmul(*w, {x, 1, 3}, {y, 1, 1});
    if (wrong || std::string(wrong.error().object()) != "columns of x") return log = "columns", false;
    return true;
}

bool cpp_without_exceptions(const char* path, std::string& log) {
    auto missing = elver::Model::open("/no/such/file.gguf");
    if (missing || missing.error().status() != ELVER_NOT_FOUND) return log = "missing file", false;
    auto model = elver::Model::open(path);
    if (!model) return log = model.error().message(), false;
    if (auto loaded = model->load([](double) { return true; }); !loaded) return log = loaded.error().message(), false;
    auto session = elver::Session::open(*model);
    if (!session) return log = session.error().message(), false;
    auto begun = session->complete(R"({"ids": [1, 2, 3], "max_tokens": 4, "ignore_eos": true})");
    if (!begun) return log = begun.error().message(), false;
    int n = 0;
    for (auto& event : session->events()) {
        if (!event) return log = event.error().message(), false;
        n += event->id >= 0;
    }
    if (n != 4) return log = "tokens: " + std::to_string(n), false;
    // An error ends the range.
    int errors = 0;
    for (auto& event : session->events()) errors += !event;
    if (errors != 1) return log = "errors: " + std::to_string(errors), false;
    return operations(log);
}
