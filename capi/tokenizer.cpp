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

elver_status elver_tokenizer_token(const elver_tokenizer* tokenizer, int32_t id, elver_token* token,
                                   elver_error** error) {
    if (tokenizer == nullptr) return null_argument(error, "tokenizer");
    if (token == nullptr) return null_argument(error, "token");
    return guarded(error, [&]() -> Result<void> {
        const auto known = read_struct<elver_token>(token, ELVER_TOKEN_INIT, "elver_token");
        if (!known) return known.error();
        const Tokenizer& t = *tokenizer->tokenizer;
        if (auto good = check_ids({&id, 1}, t); !good) return good;
        const std::string_view bytes = t.lasting_bytes(id);
        write_struct<elver_token>(token, {0, bytes.data(), bytes.size(), static_cast<int32_t>(t.vocab().token(id).type),
                                          t.is_control(id), t.is_end(id), 0});
        return {};
    });
}

int32_t elver_tokenizer_special(const elver_tokenizer* tokenizer, elver_special which) {
    using Special = std::optional<int32_t> Vocab::*;
    static constexpr Special specials[] = {&Vocab::bos,     &Vocab::eos,     &Vocab::eot,     &Vocab::eom,
                                           &Vocab::unk,     &Vocab::sep,     &Vocab::pad,     &Vocab::cls,
                                           &Vocab::mask,    &Vocab::fim_pre, &Vocab::fim_suf, &Vocab::fim_mid,
                                           &Vocab::fim_pad, &Vocab::fim_rep, &Vocab::fim_sep};
    const int number = number_of(which);
    if (tokenizer == nullptr || number < 0 || number >= static_cast<int>(std::size(specials))) return -1;
    return (tokenizer->tokenizer->vocab().*specials[number]).value_or(-1);
}

int32_t elver_tokenizer_find(const elver_tokenizer* tokenizer, const char* text, size_t text_size) {
    return tokenizer == nullptr || text == nullptr ? -1 : tokenizer->tokenizer->find({text, text_size});
}

elver_status elver_tokenizer_encode(const elver_tokenizer* tokenizer, const char* text, size_t text_size,
                                    uint32_t flags, elver_ids** out, elver_error** error) {
    if (tokenizer == nullptr) return null_argument(error, "tokenizer");
    if (text == nullptr && text_size > 0) return null_argument(error, "text");
    if (out == nullptr) return null_argument(error, "out");
    return guarded(error, [&]() -> Result<void> {
        if (auto good = check_flags(flags, ELVER_TEXT_ADD_SPECIAL | ELVER_TEXT_PARSE_SPECIAL); !good) return good;
        auto ids =
            tokenizer->tokenizer->encode({text, text_size}, {.add_special = (flags & ELVER_TEXT_ADD_SPECIAL) != 0,
                                                             .parse_special = (flags & ELVER_TEXT_PARSE_SPECIAL) != 0});
        if (!ids) return std::move(ids).error();
        *out = new elver_ids{*std::move(ids)};
        return {};
    });
}

elver_status elver_tokenizer_decode(const elver_tokenizer* tokenizer, const int32_t* ids, size_t n_ids, uint32_t flags,
                                    elver_text** out, elver_error** error) {
    if (tokenizer == nullptr) return null_argument(error, "tokenizer");
    if (ids == nullptr && n_ids > 0) return null_argument(error, "ids");
    if (out == nullptr) return null_argument(error, "out");
    return guarded(error, [&]() -> Result<void> {
        const Tokenizer& t = *tokenizer->tokenizer;
        if (auto good = check_flags(flags, ELVER_TEXT_SHOW_SPECIAL); !good) return good;
        if (auto good = check_ids({ids, n_ids}, t); !good) return good;
        *out = new elver_text{t.decode({ids, n_ids}, flags != 0)};
        return {};
    });
}

elver_status elver_detokenizer_open(const elver_tokenizer* tokenizer, uint32_t flags, elver_detokenizer** out,
                                    elver_error** error) {
    if (tokenizer == nullptr) return null_argument(error, "tokenizer");
    if (out == nullptr) return null_argument(error, "out");
    return guarded(error, [&]() -> Result<void> {
        if (auto good = check_flags(flags, ELVER_TEXT_SHOW_SPECIAL); !good) return good;
        const auto& t = tokenizer->tokenizer;
        *out = new elver_detokenizer{t, tokenizer->keeps, Detokenizer(*t, flags != 0)};
        return {};
    });
}

void elver_detokenizer_release(elver_detokenizer* detokenizer) {
    delete detokenizer;
}

elver_status elver_detokenizer_follow(elver_detokenizer* detokenizer, const int32_t* ids, size_t n_ids,
                                      elver_error** error) {
    if (ids == nullptr && n_ids > 0) return null_argument(error, "ids");
    return in_object(detokenizer, "detokenizer", error, [&]() -> Result<void> {
        if (auto good = check_ids({ids, n_ids}, *detokenizer->tokenizer); !good) return good;
        for (size_t i = 0; i < n_ids; ++i) detokenizer->stream.follow(ids[i]);
        return {};
    });
}

elver_status elver_detokenizer_push(elver_detokenizer* detokenizer, int32_t id, const char** text, size_t* text_size,
                                    elver_error** error) {
    if (text == nullptr) return null_argument(error, "text");
    if (text_size == nullptr) return null_argument(error, "text_size");
    return in_object(detokenizer, "detokenizer", error, [&]() -> Result<void> {
        if (auto good = check_ids({&id, 1}, *detokenizer->tokenizer); !good) return good;
        detokenizer->text = detokenizer->stream.push(id);
        *text = detokenizer->text.c_str(), *text_size = detokenizer->text.size();
        return {};
    });
}

elver_status elver_detokenizer_finish(elver_detokenizer* detokenizer, const char** text, size_t* text_size,
                                      elver_error** error) {
    if (text == nullptr) return null_argument(error, "text");
    if (text_size == nullptr) return null_argument(error, "text_size");
    return in_object(detokenizer, "detokenizer", error, [&]() -> Result<void> {
        detokenizer->text = detokenizer->stream.finish();
        *text = detokenizer->text.c_str(), *text_size = detokenizer->text.size();
        return {};
    });
}
