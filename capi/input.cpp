// What callers give a session to read.
#include "handles.hpp"

using namespace elver;

namespace elver::capi {

Result<void> check_flags(uint32_t flags, uint32_t allowed) {
    if ((flags & ~allowed) == 0) return {};
    return Error(Status::invalid_argument, cat("flags: expected none but those of ", allowed, ", found ", flags),
                 "flags");
}

Result<void> check_ids(std::span<const int32_t> ids, const Tokenizer& tokenizer) {
    for (size_t i = 0; i < ids.size(); ++i) {
        if (ids[i] >= 0 && ids[i] < tokenizer.n_vocab()) continue;
        return Error(Status::invalid_argument,
                     cat("token ", i, ": expected an id from 0 to ", tokenizer.n_vocab() - 1, ", found ", ids[i]),
                     "ids");
    }
    return {};
}

Result<Input> read_input(const elver_input* given, const Model& model, std::vector<int32_t>& ids) {
    if (given == nullptr) return Error(Status::invalid_argument, "input: expected a pointer, found NULL", "input");
    const auto in = read_struct<elver_input>(given, ELVER_INPUT_INIT, "elver_input");
    if (!in) return in.error();
    const struct {
        const char* name;
        const void* data;
        size_t n;
    } fields[] = {
        {"ids", in->ids, in->n_ids}, {"text", in->text, in->text_size}, {"embeddings", in->embeddings, in->n_rows}};
    if (in->kind < ELVER_INPUT_IDS || in->kind > ELVER_INPUT_EMBEDDINGS)
        return Error(Status::invalid_argument, cat("kind: expected an elver_input_kind, 0 to 2, found ", in->kind),
                     "kind");
    for (int kind = 0; const auto& field : fields) {
        if (kind++ == in->kind) {
            if (field.data == nullptr && field.n > 0)
                return Error(Status::invalid_argument, cat(field.name, ": expected a pointer, found NULL"), field.name);
        } else if (field.data != nullptr || field.n > 0) {
            return Error(Status::invalid_argument,
                         cat(field.name, ": expected none beside an input of kind ", in->kind), field.name);
        }
    }
    const bool is_text = in->kind == ELVER_INPUT_TEXT;
    if (auto good = check_flags(in->flags, is_text ? ELVER_TEXT_ADD_SPECIAL | ELVER_TEXT_PARSE_SPECIAL : 0); !good)
        return std::move(good).error();
    if (is_text) {
        auto encoded = model.tokenizer().encode({in->text, in->text_size},
                                                {.add_special = (in->flags & ELVER_TEXT_ADD_SPECIAL) != 0,
                                                 .parse_special = (in->flags & ELVER_TEXT_PARSE_SPECIAL) != 0});
        if (!encoded) return std::move(encoded).error();
        ids = *std::move(encoded);
        return Input(ids);
    }
    if (in->kind == ELVER_INPUT_IDS) return Input({in->ids, in->n_ids});
    const auto width = static_cast<size_t>(model.spec().width);
    if (in->width != width)
        return Error(Status::invalid_argument, cat("width: expected ", width, ", found ", in->width), "width");
    if (in->n_rows > static_cast<size_t>(INT32_MAX))
        return Error(Status::invalid_argument, cat("n_rows: expected at most ", INT32_MAX, ", found ", in->n_rows),
                     "n_rows");
    return Input::of_rows({in->embeddings, in->n_rows * width});
}

}  // namespace elver::capi
