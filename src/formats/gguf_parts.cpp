// Models in several files, as gguf-split writes them: NAME-00001-of-00003.gguf and so on. Each is a GGUF file with the
// keys split.no (from 0), split.count and split.tensors.count (of all files together). The first holds the model's
// metadata; that of the others is not read. Source: tools/gguf-split in the llama.cpp repository.
#include <algorithm>
#include <cstdio>
#include <numeric>

#include "base/text.hpp"
#include "formats/gguf.hpp"

namespace elver {

namespace {

constexpr std::string_view no_key = "split.no", count_key = "split.count", tensors_key = "split.tensors.count";
constexpr int64_t most_parts = 99999;  // a name has five digits for them

struct Split {
    int64_t no = 0, count = 1, n_tensors = 0;  // count 0 or 1: not split
};

Result<Split> split_of(const Gguf& file) {
    const auto no = file.get_int_or(no_key, 0), count = file.get_int_or(count_key, 1),
               n_tensors = file.get_int_or(tensors_key, 0);
    for (const auto* value : {&no, &count, &n_tensors}) {
        if (!*value) return value->error();
    }
    if (*count < 0 || *count > most_parts) return file.key_error(count_key, cat("0 to ", most_parts), cat(*count));
    if (*count > 1 && (*no < 0 || *no >= *count)) return file.key_error(no_key, cat("0 to ", *count - 1), cat(*no));
    return Split{*no, *count, *n_tensors};
}

// The end of a part's name.
std::string ending(int64_t no, int64_t count) {
    char text[32];
    std::snprintf(text, sizeof text, "-%05d-of-%05d.gguf", static_cast<int>(no + 1), static_cast<int>(count));
    return text;
}

std::string part_of(int64_t no, int64_t count) {
    return cat("part ", no + 1, " of ", count, " of a model");
}

// Another part of the model that has this split, which was found in the file named first.
Result<Gguf> open_part(const std::string& path, int64_t no, const Split& split, std::string_view first) {
    auto bytes = ByteSource::map_path(path);
    if (!bytes) return std::move(bytes).error().within(part_of(no, split.count));
    auto part = Gguf::parse(*std::move(bytes));
    if (!part) return part;
    const auto found = split_of(*part);
    if (!found) return found.error();
    if (found->count != split.count)
        return part->key_error(count_key, cat(split.count, " as in ", first), cat(found->count));
    if (found->no != no) return part->key_error(no_key, cat(no, " by its name"), cat(found->no));
    if (found->n_tensors != split.n_tensors)
        return part->key_error(tensors_key, cat(split.n_tensors, " as in ", first), cat(found->n_tensors));
    return part;
}

template <class Item, class NameOf>
void sort_by_name(std::vector<uint32_t>& order, const std::vector<Item>& items, const NameOf& name_of) {
    order.resize(items.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return name_of(items[a]) < name_of(items[b]); });
}

}  // namespace

Result<Gguf> Gguf::open(ByteSource source) {
    const std::string path = source.has_path() ? source.name() : std::string();
    auto file = parse(std::move(source));
    if (!file) return file;
    const auto split = split_of(*file);
    if (!split) return split.error();
    if (split->count > 1) file = open_parts(*std::move(file), path);
    if (file) file->drop_split_keys();
    return file;
}

Result<Gguf> Gguf::open_parts(Gguf&& one, std::string_view path) {
    const Split split = *split_of(one);
    const auto wrong = [&](std::string_view what) {
        return Error(Status::bad_file, cat(one.name(), ": ", part_of(split.no, split.count), ": ", what), one.name());
    };
    if (path.empty()) return wrong("open it by its path, so that the others are found beside it");
    const std::string end = ending(split.no, split.count);
    if (!path.ends_with(end))
        return wrong(cat("expected a name that ends in ", in_quotes(end), ", by which the others are found"));
    const std::string stem(path.substr(0, path.size() - end.size()));
    std::optional<Gguf> whole;
    for (int64_t no = 0; no < split.count; ++no) {
        auto part =
            no == split.no ? Result<Gguf>(std::move(one)) : open_part(stem + ending(no, split.count), no, split, path);
        if (!part) return part;
        if (no == 0)
            whole = *std::move(part);
        else
            whole->add_part(*std::move(part));
    }
    if (auto fine = whole->index_parts(); !fine) return fine.error();
    if (static_cast<int64_t>(whole->tensors_.size()) != split.n_tensors)
        return whole->key_error(tensors_key, cat("the ", whole->tensors_.size(), " that all parts hold"),
                                cat(split.n_tensors));
    return *std::move(whole);
}

void Gguf::add_part(Gguf&& part) {
    for (GgufTensor& tensor : part.tensors_) {
        tensor.part = static_cast<uint32_t>(parts_.size());
        tensors_.push_back(std::move(tensor));
    }
    parts_.push_back(std::move(part.parts_.front()));
}

Result<void> Gguf::index_parts() {
    sort_by_name(tensor_index_, tensors_, [](const GgufTensor& t) { return t.name; });
    for (size_t i = 1; i < tensor_index_.size(); ++i) {
        const GgufTensor &a = tensors_[tensor_index_[i - 1]], &b = tensors_[tensor_index_[i]];
        if (a.name != b.name) continue;
        return Error(Status::bad_file,
                     cat(source(a).name(), ": tensor ", in_quotes(a.name), ": expected once, found in ",
                         source(b).name(), " too"),
                     std::string(a.name));
    }
    return {};
}

void Gguf::drop_split_keys() {
    std::erase_if(metadata_, [](const auto& pair) {
        return pair.first == no_key || pair.first == count_key || pair.first == tensors_key;
    });
    sort_by_name(metadata_index_, metadata_, [](const auto& pair) { return pair.first; });
}

}  // namespace elver
