#include "answer/request.hpp"
#include "handles.hpp"
#include "models/gguf_vocab.hpp"

using namespace elver;
using namespace elver::capi;

elver_status elver_model_tokenizer(const elver_model* model, elver_tokenizer** out, elver_error** error) {
    if (model == nullptr) return null_argument(error, "model");
    if (out == nullptr) return null_argument(error, "out");
    return guarded(error, [&]() -> Result<void> {
        const auto& m = model->model;
        *out = new elver_tokenizer{{m, &m->tokenizer()}, m, std::nullopt};
        return {};
    });
}

elver_status elver_tokenizer_open(const elver_source* source, elver_tokenizer** out, elver_error** error) {
    if (out == nullptr) return null_argument(error, "out");
    return guarded(error, [&]() -> Result<void> {
        auto bytes = open_source(source);
        if (!bytes) return std::move(bytes).error();
        const auto file = Gguf::open(*std::move(bytes));
        if (!file) return file.error();
        auto tokenizer = tokenizer_from_gguf(*file);
        if (!tokenizer) return std::move(tokenizer).error();
        *out = new elver_tokenizer{*std::move(tokenizer), nullptr, templates_from_gguf(*file)};
        return {};
    });
}

elver_status elver_tokenizer_render(const elver_tokenizer* tokenizer, const char* source, size_t source_size,
                                    const char* variables, size_t variables_size, elver_text** out,
                                    elver_error** error) {
    if (tokenizer == nullptr && source == nullptr) return null_argument(error, "tokenizer");
    if (variables == nullptr) return null_argument(error, "variables");
    if (out == nullptr) return null_argument(error, "out");
    return guarded(error, [&]() -> Result<void> {
        const std::string_view json(variables, variables_size);
        const Tokenizer* tokens = tokenizer == nullptr ? nullptr : tokenizer->tokenizer.get();
        const auto rendered = [&]() -> Result<std::string> {
            if (source == nullptr)
                return render_template(tokenizer->templates ? *tokenizer->templates : tokenizer->keeps->templates(),
                                       tokens, json);
            const auto chat = ChatTemplate::parse(std::string(source, source_size));
            return chat ? render_template(*chat, tokens, json) : chat.error();
        }();
        if (!rendered) return rendered.error();
        *out = new elver_text{*rendered};
        return {};
    });
}

void elver_tokenizer_release(elver_tokenizer* tokenizer) {
    delete tokenizer;
}

int32_t elver_tokenizer_n_vocab(const elver_tokenizer* tokenizer) {
    return tokenizer == nullptr ? 0 : tokenizer->tokenizer->n_vocab();
}
int elver_tokenizer_is_end(const elver_tokenizer* tokenizer, int32_t id) {
    return tokenizer != nullptr && tokenizer->tokenizer->is_end(id) ? 1 : 0;
}

elver_status elver_tokenizer_encode(const elver_tokenizer* tokenizer, const char* text, size_t text_size,
                                    int add_special, int parse_special, elver_ids** out, elver_error** error) {
    if (tokenizer == nullptr) return null_argument(error, "tokenizer");
    if (text == nullptr && text_size > 0) return null_argument(error, "text");
    if (out == nullptr) return null_argument(error, "out");
    return guarded(error, [&]() -> Result<void> {
        auto ids = tokenizer->tokenizer->encode({text, text_size},
                                                {.add_special = add_special != 0, .parse_special = parse_special != 0});
        if (!ids) return std::move(ids).error();
        *out = new elver_ids{*std::move(ids)};
        return {};
    });
}

elver_status elver_tokenizer_decode(const elver_tokenizer* tokenizer, const int32_t* ids, size_t n_ids, int special,
                                    elver_text** out, elver_error** error) {
    if (tokenizer == nullptr) return null_argument(error, "tokenizer");
    if (ids == nullptr && n_ids > 0) return null_argument(error, "ids");
    if (out == nullptr) return null_argument(error, "out");
    return guarded(error, [&]() -> Result<void> {
        const Tokenizer& t = *tokenizer->tokenizer;
        for (size_t i = 0; i < n_ids; ++i) {
            if (ids[i] < 0 || ids[i] >= t.n_vocab()) {
                return Error(Status::invalid_argument,
                             cat("token ", i, ": expected an id from 0 to ", t.n_vocab() - 1, ", found ", ids[i]),
                             "ids");
            }
        }
        *out = new elver_text{t.decode({ids, n_ids}, special != 0)};
        return {};
    });
}
