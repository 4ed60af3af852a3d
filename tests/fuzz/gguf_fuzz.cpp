// Any bytes as a GGUF file: what it says of itself is read in every way, a copy of it is written and read back, and it
// is opened as a model, whose memory is planned. A model that plans little is loaded, and reads a token.
#include "engine/model.hpp"
#include "engine/session.hpp"
#include "formats/gguf.hpp"
#include "formats/gguf_writer.hpp"
#include "tiny_model.hpp"
#include "tools/measure.hpp"

namespace {

using namespace elver;
using namespace elver::test;

ByteSource borrow(std::span<const std::byte> bytes) {
    return ByteSource::borrow(bytes, "fuzz.gguf");
}

// Reads every byte that the views lead to.
size_t sum(std::span<const std::byte> bytes) {
    size_t total = 0;
    for (const std::byte b : bytes) total += static_cast<size_t>(b);
    return total;
}

size_t read_all(const Gguf& file) {
    size_t total = 0;
    for (const auto& [key, value] : file.metadata()) {
        check(file.find(key) == &value);
        total += sum(value.raw());
        if (!file.get_int(key)) check_error(file.get_int(key).error());
        if (!file.get_float_or(key, 0)) check_error(file.get_float_or(key, 0).error());
        if (!file.get_bool_or(key, true)) check_error(file.get_bool_or(key, true).error());
        if (const auto text = file.get_string(key)) total += sum(std::as_bytes(std::span(*text)));
        if (value.type() != GgufType::array) continue;
        for (size_t i = 0; i < value.size(); ++i) {
            total += value.int_element(i).has_value() + value.float_element(i).has_value();
            total += sum(std::as_bytes(std::span(value.string_element(i))));
        }
    }
    for (const GgufTensor& tensor : file.tensors()) {
        check(file.find_tensor(tensor.name) == &tensor);
        const Shape& shape = tensor.view.shape;
        check(tensor.view.bytes.size() ==
              static_cast<size_t>(shape.rows()) * row_bytes(tensor.view.type, static_cast<size_t>(shape.columns())));
        total += sum(tensor.view.bytes);
    }
    check(is_valid_utf8(describe_metadata(file)) && is_valid_utf8(describe_tensors(file)));
    return total;
}

void check_copy(const Gguf& file) {
    GgufWriter writer;
    for (const auto& [key, value] : file.metadata()) writer.copy(key, value);
    for (const GgufTensor& t : file.tensors()) writer.add_tensor(t.name, t.view.type, t.view.shape, t.view.bytes);
    const auto bytes = writer.write_memory();
    check(static_cast<bool>(bytes));
    const auto again = Gguf::parse(borrow(*bytes));
    check(again && again->metadata().size() == file.metadata().size() &&
          again->tensors().size() == file.tensors().size());
    for (size_t i = 0; i < file.metadata().size(); ++i) {
        const auto a = file.metadata()[i].second.raw(), b = again->metadata()[i].second.raw();
        check(std::equal(a.begin(), a.end(), b.begin(), b.end()));
    }
    for (size_t i = 0; i < file.tensors().size(); ++i) {
        const TensorView &a = file.tensors()[i].view, &b = again->tensors()[i].view;
        check(a.shape == b.shape && std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end()));
    }
}

constexpr uint64_t most_planned = 4 << 20;

void run(const std::shared_ptr<Model>& model, const SessionOptions& options) {
    if (const auto done = model->load({}, nullptr); !done) return check_error(done.error());
    const auto session = Session::make(model, options);
    if (!session) return check_error(session.error());
    if (const auto done = (*session)->prefill(std::vector<int32_t>{0}); !done) check_error(done.error());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    const auto file = Gguf::parse(borrow(bytes));
    if (!file) return check_error(file.error()), 0;
    read_all(*file);
    check_copy(*file);
    ModelOptions options;
    options.n_threads = 1;
    options.session = {.n_ctx = 4, .max_batch = 2, .cache_type = {}};
    const auto model = Model::open(borrow(bytes), options);
    if (!model) return check_error(model.error()), 0;
    const uint64_t planned = (*model)->plan(options.session)->total();
    check(planned > 0);
    if (planned < most_planned) run(*model, options.session);
    return 0;
}
