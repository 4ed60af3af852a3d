// Any bytes as a chat or completion request (the first byte says which) to a tiny model. None may crash, hang, fail
// with an internal error, or give a message that is not one line of UTF-8. Those that hold are begun and answered for a
// few tokens.
#include <cstdlib>

#include "base/utf8.hpp"
#include "formats/gguf_writer.hpp"
#include "runtime/request.hpp"

namespace {

using namespace elver;

void check(bool holds) {
    if (!holds) std::abort();
}

template <class T>
T need(Result<T> result) {
    check(static_cast<bool>(result));
    return *std::move(result);
}

// The tiny llama of the goldens, with a chat template that looks at what requests may hold.
const std::shared_ptr<Model>& model() {
    static const std::vector<std::byte> bytes = [] {
        const Gguf file = need(Gguf::parse(need(ByteSource::map_path(ELVER_FUZZ_MODEL))));
        GgufWriter writer;
        for (const auto& [key, value] : file.metadata()) writer.copy(key, value);
        writer.set_string("tokenizer.chat_template",
                          "{% for m in messages %}{{ m.role }}{% if m.content is string %}{{ m.content }}{% else %}"
                          "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}"
                          "{% if tools %}{{ tools | tojson }}{% endif %}");
        for (const GgufTensor& t : file.tensors()) writer.add_tensor(t.name, t.view.type, t.view.shape, t.view.bytes);
        return need(writer.write_memory());
    }();
    static const std::shared_ptr<Model> loaded = [] {
        ModelOptions options;
        options.n_threads = 1;
        auto m = need(Model::open(ByteSource::borrow(bytes), options));
        check(static_cast<bool>(m->load({}, nullptr)));
        return m;
    }();
    return loaded;
}

void check_error(const Error& error) {
    check(error.status() != Status::internal);
    check(!error.message().empty() && error.message().find('\n') == std::string::npos);
    check(is_valid_utf8(error.message()) && is_valid_utf8(error.object()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    auto request = (data[0] & 1) != 0 ? parse_chat_request(*model(), text) : parse_completion_request(*model(), text);
    if (!request) return check_error(request.error()), 0;
    static const auto session = need(Session::make(model(), {.n_ctx = 64, .max_batch = 16, .cache_type = {}}));
    if (const auto done = prefill_reusing(*session, request->ids); !done) return check_error(done.error()), 0;
    auto generator = need(Generator::make(*session, std::move(request->options)));
    for (int i = 0; i < 4; ++i) {
        const GenerateEvent event = need(generator.next());
        check(is_valid_utf8(event.text));
        if (event.finish != FinishReason::none) break;
    }
    return 0;
}
