// Uses the installed elver.hpp as another project would: loads a model and pulls an answer of a few tokens.
#include <elver/elver.hpp>
#include <iostream>

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    auto model = elver::Model::open(argv[1]);
    model.load();
    elver::Session session(model);
    session.complete(R"({"ids": [1, 2, 3], "max_tokens": 5, "ignore_eos": true})");
    int n = 0;
    for (const elver::Event& event : session.events()) n += event.id >= 0;
    std::cout << n << " tokens\n";
    return n == 5 ? 0 : 1;
}
