// Any bytes as a chat or completion request (the first byte says which) to a tiny model. None may crash, hang, fail
// with an internal error, or give a message that is not one line of UTF-8. Those that hold are begun and answered for a
// few tokens.
#include "answer/request.hpp"
#include "tiny_model.hpp"

namespace {

using namespace elver;
using namespace elver::test;

// With a chat template that looks at what requests may hold.
const std::shared_ptr<Model>& model() {
    static const auto loaded = tiny_model([](GgufWriter& writer) {
        writer.set_string("tokenizer.chat_template",
                          "{% for m in messages %}{{ m.role }}{% if m.content is string %}{{ m.content }}{% else %}"
                          "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}"
                          "{% if tools %}{{ tools | tojson }}{% endif %}");
    });
    return loaded;
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
