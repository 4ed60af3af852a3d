#include "files.hpp"

#include <doctest/doctest.h>

#include <fstream>

#include "formats/gguf_writer.hpp"

namespace capi_test {

std::string tiny_path() {
    return ELVER_TEST_DATA "/golden/archs/llama.gguf";
}

Bytes read_bytes(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    REQUIRE(in.good());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto* first = reinterpret_cast<const std::byte*>(text.data());
    return {first, first + text.size()};
}

Bytes changed(const std::string& path, const std::string& chat_template, const std::string& tensor) {
    const Bytes bytes = read_bytes(path);
    const auto file = elver::Gguf::parse(elver::ByteSource::borrow(bytes));
    REQUIRE(file);
    elver::GgufWriter writer;
    for (const auto& [key, value] : file->metadata()) writer.copy(key, value);
    writer.set_string("tokenizer.chat_template", chat_template);
    for (const elver::GgufTensor& t : file->tensors())
        writer.add_tensor(t.name, t.view.type, t.view.shape, t.view.bytes);
    const Bytes zeros(4 * sizeof(float));
    if (!tensor.empty()) writer.add_tensor(tensor, elver::DType::f32, {4}, zeros);
    auto out = writer.write_memory();
    REQUIRE(out);
    return *std::move(out);
}

Bytes tiny_with_template() {
    return changed(tiny_path(),
                   "{% for m in messages %}{{ m.role }} {{ m.content }}\n{% endfor %}"
                   "{% if tools %}{{ tools | length }}{% endif %}{% if add_generation_prompt %}assistant {% endif %}",
                   {});
}

}  // namespace capi_test
