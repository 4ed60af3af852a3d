// Compiled with -fno-exceptions: elver.hpp answers Expected<T>.
#include <elver/elver.hpp>
#include <string>

bool cpp_without_exceptions(const char* path, std::string& log);

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
    return true;
}
