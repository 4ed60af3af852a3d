// Renders a chat template from the command line, as `elver template --template-file T --jsonl F` does: an object of
// variables a line in, {"text"} or {"error"} a line out. Lets tests/oracle/template.py test the engine without the
// program.
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "chat/template.hpp"

int main(int argc, char** argv) {
    const char *source = nullptr, *lines = nullptr;
    for (int i = 1; i + 1 < argc; ++i) {
        if (std::strcmp(argv[i], "--template-file") == 0) source = argv[i + 1];
        if (std::strcmp(argv[i], "--jsonl") == 0) lines = argv[i + 1];
    }
    if (!source || !lines) {
        std::cerr << "usage: template_tool --template-file T --jsonl F\n";
        return 2;
    }
    std::stringstream text;
    text << std::ifstream(source, std::ios::binary).rdbuf();
    const auto parsed = elver::ChatTemplate::parse(text.str());
    std::ifstream in(lines, std::ios::binary);
    for (std::string line; std::getline(in, line);) {
        const auto variables = nlohmann::ordered_json::parse(line, nullptr, false);
        const auto out = parsed ? parsed->render(variables) : elver::Result<std::string>(parsed.error());
        const auto answer =
            out ? nlohmann::ordered_json{{"text", *out}} : nlohmann::ordered_json{{"error", out.error().message()}};
        std::cout << answer.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
    }
}
