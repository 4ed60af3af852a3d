// Any bytes as a chat template, up to a NUL; behind it the variables as JSON. Without those, a conversation with tools.
#include <cstdlib>

#include "base/json.hpp"
#include "base/utf8.hpp"
#include "chat/template.hpp"

namespace {

const elver::Json& conversation() {
    static const auto json = elver::parse_json(R"({"messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hé <b>"}]},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"x": 1.5}}}]},
        {"role": "tool", "content": "[1, 2]"}, {"role": "user", "content": " a</think>b "}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "number"}}}}}],
        "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>", "now": 1700000000, "n": 3, "l": [3, 1, 2]})",
                                               "conversation");
    if (!json) std::abort();
    return *json;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view all(reinterpret_cast<const char*>(data), size);
    const size_t nul = all.find('\0');
    const auto parsed = elver::ChatTemplate::parse(std::string(all.substr(0, nul)));
    if (!parsed) return 0;
    const auto given = elver::parse_json(nul == std::string_view::npos ? "" : all.substr(nul + 1), "variables");
    const auto text = parsed->render(given && given->is_object() ? *given : conversation());
    if (text ? !elver::is_valid_utf8(text->text) : text.error().status() == elver::Status::internal) std::abort();
    return 0;
}
