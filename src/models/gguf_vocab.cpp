#include "models/gguf_vocab.hpp"

#include "base/text.hpp"

namespace elver {

namespace {

// Keys below "tokenizer." to what the tokenizer's room takes; the first wrong type is kept.
class VocabReader {
  public:
    explicit VocabReader(const Gguf& file) : file_(file) {}

    Result<VocabSource> read() {
        VocabSource v;
        v.name = file_.name();
        v.architecture = text("general.architecture", "");
        v.model = text("tokenizer.ggml.model", "");
        v.pre = text("tokenizer.ggml.pre", "");
        strings("tokenizer.ggml.tokens", v.tokens);
        strings("tokenizer.ggml.merges", v.merges);
        numbers("tokenizer.ggml.scores", v.scores);
        numbers("tokenizer.ggml.token_type", v.types);
        const std::pair<const char*, std::optional<int32_t>*> ids[] = {
            {"bos_token_id", &v.bos},         {"eos_token_id", &v.eos},         {"eot_token_id", &v.eot},
            {"eom_token_id", &v.eom},         {"unknown_token_id", &v.unk},     {"seperator_token_id", &v.sep},
            {"padding_token_id", &v.pad},     {"cls_token_id", &v.cls},         {"mask_token_id", &v.mask},
            {"fim_pre_token_id", &v.fim_pre}, {"fim_suf_token_id", &v.fim_suf}, {"fim_mid_token_id", &v.fim_mid},
            {"fim_pad_token_id", &v.fim_pad}, {"fim_rep_token_id", &v.fim_rep}, {"fim_sep_token_id", &v.fim_sep},
        };
        for (const auto& [key, out] : ids) integer(cat("tokenizer.ggml.", key), *out);
        flag("tokenizer.ggml.add_bos_token", v.add_bos);
        flag("tokenizer.ggml.add_eos_token", v.add_eos);
        flag("tokenizer.ggml.add_sep_token", v.add_sep);
        flag("tokenizer.ggml.add_space_prefix", v.add_space_prefix);
        flag("tokenizer.ggml.remove_extra_whitespaces", v.remove_extra_whitespaces);
        flag("tokenizer.ggml.normalizer.lowercase", v.lowercase);
        flag("tokenizer.ggml.normalizer.strip_accents", v.strip_accents);
        bytes("tokenizer.ggml.precompiled_charsmap", v.charsmap);
        for (const auto& [key, value] : file_.metadata()) {  // "tokenizer.chat_template", and ".NAME" behind it
            if (key.starts_with("tokenizer.chat_template") && value.type() == GgufType::string)
                v.templates.push_back(*file_.get_string(key));
        }
        if (error_) return std::move(*error_);
        return v;
    }

  private:
    void fail(Error error) {
        if (!error_) error_.emplace(std::move(error));
    }
    std::string text(std::string_view key, std::string_view fallback) {
        const auto value = file_.get_string_or(key, fallback);
        if (!value) return fail(value.error()), std::string();
        return std::string(*value);
    }
    void strings(std::string_view key, std::vector<std::string_view>& out) {
        const GgufValue* value = file_.find(key);
        if (value == nullptr) return;
        if (value->type() != GgufType::array || value->element_type() != GgufType::string)
            return fail(file_.key_error(key, "an array of strings", gguf_type_name(value->type())));
        out.reserve(value->size());
        for (size_t i = 0; i < value->size(); ++i) out.push_back(value->string_element(i));
    }
    template <class T>
    void numbers(std::string_view key, std::vector<T>& out) {
        const GgufValue* value = file_.find(key);
        if (value == nullptr) return;
        if (value->type() != GgufType::array || (value->size() > 0 && !value->float_element(0)))
            return fail(file_.key_error(key, "an array of numbers", gguf_type_name(value->type())));
        out.reserve(value->size());
        for (size_t i = 0; i < value->size(); ++i) out.push_back(static_cast<T>(value->float_element(i).value_or(0)));
    }
    void bytes(std::string_view key, std::span<const std::byte>& out) {
        const GgufValue* value = file_.find(key);
        if (value == nullptr) return;
        const bool fits = value->type() == GgufType::array &&
                          (value->element_type() == GgufType::u8 || value->element_type() == GgufType::i8);
        if (!fits) return fail(file_.key_error(key, "an array of bytes", gguf_type_name(value->type())));
        out = value->raw().last(value->size());  // behind the array's type and count
    }
    void integer(const std::string& key, std::optional<int32_t>& out) {
        if (file_.find(key) == nullptr) return;
        const auto value = file_.get_int(key);
        if (!value) return fail(value.error());
        if (*value < -1 || (*value > INT32_MAX && *value != 0xffffffff))
            return fail(file_.key_error(key, "a token id", cat(*value)));
        if (*value >= 0 && *value <= INT32_MAX) out = static_cast<int32_t>(*value);
    }
    void flag(std::string_view key, std::optional<bool>& out) {
        if (file_.find(key) == nullptr) return;
        const auto value = file_.get_bool_or(key, false);
        if (!value) return fail(value.error());
        out = *value;
    }

    const Gguf& file_;
    std::optional<Error> error_;
};

}  // namespace

Result<std::shared_ptr<const Tokenizer>> tokenizer_from_gguf(const Gguf& file) {
    const auto source = VocabReader(file).read();
    if (!source) return source.error();
    if (source->model.empty()) {
        return Error(Status::unsupported,
                     cat(file.name(), ": key \"tokenizer.ggml.model\" is missing: the file holds no vocabulary"),
                     "tokenizer.ggml.model");
    }
    return Tokenizer::make(*source);
}

Result<std::shared_ptr<const Tokenizer>> textless_from_gguf(const Gguf& file) {
    auto source = VocabReader(file).read();
    if (!source) return std::move(source).error();
    return Tokenizer::make_textless(*source);
}

namespace {

Result<ChatTemplate> template_at(const Gguf& file, std::string_view key) {
    const auto text = file.get_string_or(key, "");
    if (!text) return text.error();
    if (text->empty()) {
        return Error(Status::unsupported, cat(file.name(), ": the file holds no chat template (key \"", key, "\")"),
                     std::string(key));
    }
    auto chat = ChatTemplate::parse(std::string(*text));
    if (chat) return chat;
    return Error(chat.error().status(), cat(file.name(), ": key \"", key, "\": ", chat.error().message()),
                 std::string(key));
}

}  // namespace

ModelTemplates templates_from_gguf(const Gguf& file) {
    constexpr const char* tool_use = "tokenizer.chat_template.tool_use";
    ModelTemplates out{template_at(file, "tokenizer.chat_template"), {}};
    if (file.find(tool_use) != nullptr) out.tool_use = template_at(file, tool_use);
    return out;
}

}  // namespace elver
