#include "formats/packed_file.hpp"

#include <algorithm>
#include <array>

#include "base/checked.hpp"
#include "base/hash.hpp"
#include "base/text.hpp"
#include "formats/gguf_writer.hpp"
#include "quant/pack.hpp"

namespace elver {

namespace {

constexpr std::string_view version_key = "elver.packed.version", layout_key = "elver.packed.layout",
                           tensors_key = "elver.packed.tensors", types_key = "elver.packed.types",
                           shapes_key = "elver.packed.shapes", sums_name = "elver.packed.sums",
                           prefix = "elver.packed.";
constexpr uint32_t version = 1;
constexpr size_t page = 4096, max_rank = 4;
// Tensors below this are summed whole; of larger ones only the place is checked.
constexpr size_t small_bytes = size_t{1} << 20;

const GgufValue* array_of(const Gguf& file, std::string_view key, GgufType type) {
    const GgufValue* value = file.find(key);
    return value != nullptr && value->type() == GgufType::array && value->element_type() == type ? value : nullptr;
}

uint64_t sum_of(std::span<const std::byte> bytes) noexcept {
    Hash64 hash;
    hash.add(bytes);
    return hash.value();
}

// The last tensor: the sum of everything before the first tensor, then one a tensor, 0 for those not summed.
Result<void> check_sums(Gguf& file) {
    const auto& tensors = file.tensors();
    const auto damaged = [&](std::string_view what) {
        return Error(Status::bad_file,
                     cat(file.name(), ": ", what, ": the bytes do not have the sum they were written with"),
                     std::string(what));
    };
    const bool there = !tensors.empty() && tensors.back().name == sums_name && tensors.back().view.type == DType::i64 &&
                       tensors.back().view.shape == Shape{static_cast<int64_t>(tensors.size())};
    if (!there) {
        return Error(Status::bad_file,
                     cat(file.name(), ": expected the last tensor to be ", in_quotes(sums_name), " with ",
                         tensors.size(), " numbers"),
                     std::string(sums_name));
    }
    const auto sum = [&](size_t i) {
        uint64_t value;
        std::memcpy(&value, tensors.back().view.bytes.data() + i * sizeof value, sizeof value);
        return value;
    };
    if (sum(0) != sum_of(file.parts().front().bytes().first(tensors.front().offset))) return damaged("metadata");
    for (size_t i = 0; i + 1 < tensors.size(); ++i) {
        const uint64_t expected = sum(i + 1);
        if (expected != 0 && expected != sum_of(tensors[i].view.bytes)) return damaged(tensors[i].name);
    }
    file.drop_last_tensor();
    return {};
}

// All but the embedding, of which few rows are read: mapped in large pages, gigabytes are there within milliseconds.
// Before anything is read, since what is in memory in small pages stays so.
void prefer_large_pages(const Gguf& file) {
    size_t begin = 0, end = 0;
    const auto run = [&] { file.parts().front().prefer_large_pages(begin, end - begin); };
    for (const GgufTensor& t : file.tensors()) {
        if (t.name == embedding_name || t.offset < end) run(), begin = end = 0;
        if (t.name == embedding_name) continue;
        if (begin == end) begin = t.offset;
        end = t.offset + t.view.bytes.size();
    }
    run();
}

// The shape and type that pack number i has, where its tensor's bytes are as many as they say.
Result<void> read_pack(Gguf& file, const GgufTensor& tensor, int64_t type_id,
                       const std::array<int64_t, max_rank>& dims) {
    const auto wrong = [&](std::string_view expected, const std::string& found) {
        return Error(Status::bad_file,
                     cat(file.name(), ": tensor ", in_quotes(tensor.name), ": expected ", expected, ", found ", found),
                     std::string(tensor.name));
    };
    const auto type = type_id < 0 ? std::nullopt : dtype_from_gguf(static_cast<uint32_t>(type_id));
    const PackLayout* layout = type ? pack_layout(*type) : nullptr;
    if (layout == nullptr) return wrong("a type that has a pack", cat("type ", type_id));
    const auto rank = static_cast<size_t>(std::find(dims.begin(), dims.end(), 0) - dims.begin());
    const Shape shape{std::span(dims).first(rank)};
    int64_t rows = 1;
    bool fine = rank > 1 && tensor.name != embedding_name &&
                std::all_of(dims.begin(), dims.begin() + static_cast<long>(rank), [](int64_t d) { return d > 0; });
    for (size_t i = 0; fine && i + 1 < rank; ++i) {
        const auto product = checked_mul(rows, dims[i]);
        fine = product && *product <= INT64_C(1) << 40;
        if (fine) rows = *product;
    }
    fine = fine && shape.columns() % dtype_info(*type).block_size == 0;
    if (!fine) return wrong(cat("a shape of ", dtype_name(*type)), shape.text());
    const auto n_bytes = checked_mul(ceil_div(static_cast<size_t>(rows), pack_rows),
                                     layout->group_bytes(static_cast<size_t>(shape.columns())));
    if (tensor.packed || tensor.view.type != DType::i8 || !n_bytes || *n_bytes != tensor.view.bytes.size())
        return wrong(cat("the pack of ", dtype_name(*type), " ", shape.text()),
                     cat(tensor.view.bytes.size(), " bytes of ", dtype_name(tensor.view.type)));
    if (reinterpret_cast<uintptr_t>(tensor.view.bytes.data()) % 64 != 0)
        return Error(Status::unsupported,
                     cat(file.name(), ": a packed model must lie at a multiple of 64 bytes in memory"), file.name());
    file.set_packed(static_cast<size_t>(&tensor - file.tensors().data()), *type, shape);
    return {};
}

// Packs a few MiB at a time, and gives the pages of the file back behind it.
Result<void> write_pack(const Gguf& file, const GgufTensor& tensor, ThreadPool& pool, const ByteSink& sink) {
    const TensorView& view = tensor.view;
    const ByteSource& source = file.source(tensor);
    const PackLayout& layout = *pack_layout(view.type);
    const auto k = static_cast<size_t>(view.shape.columns()), n_rows = static_cast<size_t>(view.shape.rows());
    const size_t group = layout.group_bytes(k), stride = row_bytes(view.type, k),
                 n_groups = ceil_div(n_rows, pack_rows);
    const size_t step = std::max<size_t>(1, (size_t{4} << 20) / group);
    auto buffer = AlignedBuffer::make(step * group, "packing");
    if (!buffer) return std::move(buffer).error();
    for (size_t at = 0; at < n_groups; at += step) {
        const size_t end = std::min(n_groups, at + step), first_row = at * pack_rows,
                     source_bytes = (std::min(n_rows, end * pack_rows) - first_row) * stride;
        const size_t at_byte = tensor.offset + first_row * stride;
        if (!source.read(at_byte, source_bytes)) {
            return Error(Status::io,
                         cat(source.name(), ": cannot read bytes ", at_byte, " to ", at_byte + source_bytes),
                         source.name());
        }
        pool.parallel_for(end - at, 1, [&](size_t first, size_t last) {
            for (size_t g = at + first; g < at + last; ++g) {
                const int here = static_cast<int>(std::min<size_t>(pack_rows, n_rows - g * pack_rows));
                pack_group(layout, view.bytes.data() + g * pack_rows * stride, stride, here, k,
                           buffer->data() + (g - at) * group);
            }
        });
        source.release(at_byte, source_bytes);
        if (auto done = sink(buffer->bytes().first((end - at) * group)); !done) return done;
    }
    return {};
}

}  // namespace

bool whole_groups(const GgufTensor& tensor, int64_t first, int64_t n) noexcept {
    return first % pack_rows == 0 && (n % pack_rows == 0 || first + n == tensor.view.shape.rows());
}

Result<void> read_packs(Gguf& file) {
    if (file.find(version_key) == nullptr) return {};
    const auto found = file.get_int(version_key);
    if (!found) return found.error();
    const auto layout = file.get_string(layout_key);
    if (!layout) return layout.error();
    if (*found != version || *layout != pack_name) {
        return Error(Status::mismatch,
                     cat(file.name(), ": packed as version ", *found, ", layout ", in_quotes(*layout),
                         "; this elver reads version ", version, ", layout ", in_quotes(pack_name),
                         ": pack the original file again"),
                     std::string(layout_key));
    }
    if (file.parts().size() != 1)
        return Error(Status::unsupported, cat(file.name(), ": a packed model in parts: pack the original file again"),
                     file.name());
    prefer_large_pages(file);
    if (auto fine = check_sums(file); !fine) return fine;
    const GgufValue* names = array_of(file, tensors_key, GgufType::string);
    const GgufValue* types = array_of(file, types_key, GgufType::i32);
    const GgufValue* shapes = array_of(file, shapes_key, GgufType::i32);
    if (names == nullptr || types == nullptr || shapes == nullptr || types->size() != names->size() ||
        shapes->size() != max_rank * names->size()) {
        return Error(Status::bad_file,
                     cat(file.name(), ": expected the keys ", tensors_key, ", ", types_key, " and ", shapes_key,
                         " with a name, a type and four numbers a pack"),
                     std::string(tensors_key));
    }
    for (size_t i = 0; i < names->size(); ++i) {
        const auto tensor = file.tensor(names->string_element(i));
        if (!tensor) return tensor.error();
        std::array<int64_t, max_rank> dims;
        for (size_t d = 0; d < max_rank; ++d) dims[d] = shapes->int_element(max_rank * i + d).value_or(-1);
        if (auto fine = read_pack(file, **tensor, types->int_element(i).value_or(-1), dims); !fine) return fine;
    }
    return {};
}

Result<void> write_packed(const Gguf& file, std::span<const PackedPart> parts, ThreadPool& pool, const ByteSink& sink,
                          const Progress& progress) {
    GgufWriter writer;
    for (const auto& [key, value] : file.metadata()) {
        if (key != "general.alignment" && key.substr(0, prefix.size()) != prefix) writer.copy(key, value);
    }
    writer.set_u32("general.alignment", page);
    writer.set_u32(version_key, version);
    writer.set_string(layout_key, pack_name);
    std::vector<std::string_view> names;
    std::vector<int32_t> types, shapes;
    std::vector<int64_t> sums(parts.size() + 1, 0);
    size_t total = sums.size() * sizeof(int64_t), written = 0;
    const auto report = [&](std::span<const std::byte> bytes, const ByteSink& out) -> Result<void> {
        written += bytes.size();
        if (progress && !progress(std::min(1.0, static_cast<double>(written) / static_cast<double>(total))))
            return Error(Status::cancelled, cat(file.name(), ": packing was cancelled"), file.name());
        return out(bytes);
    };
    for (size_t i = 0; i < parts.size(); ++i) {
        const TensorView& view = parts[i].tensor->view;
        const auto k = static_cast<size_t>(view.shape.columns()), rows = static_cast<size_t>(view.shape.rows());
        size_t n_bytes = view.bytes.size();
        if (parts[i].pack || parts[i].tensor->packed) {
            names.push_back(parts[i].name);
            types.push_back(static_cast<int32_t>(view.type));
            for (int d = 0; d < int{max_rank}; ++d)
                shapes.push_back(d < view.shape.rank() ? static_cast<int32_t>(view.shape[d]) : 0);
            n_bytes = pack_layout(view.type)->matrix_bytes(rows, k);
        }
        total += n_bytes;
        if (parts[i].pack) {
            writer.add_tensor(parts[i].name, DType::i8, {static_cast<int64_t>(n_bytes)}, [&, i](const ByteSink& out) {
                return write_pack(file, *parts[i].tensor, pool,
                                  [&](std::span<const std::byte> bytes) { return report(bytes, out); });
            });
            continue;
        }
        const bool packed = parts[i].tensor->packed;
        if (!packed && n_bytes < small_bytes) sums[i + 1] = static_cast<int64_t>(sum_of(view.bytes));
        writer.add_tensor(parts[i].name, packed ? DType::i8 : view.type,
                          packed ? Shape{static_cast<int64_t>(n_bytes)} : view.shape,
                          [&, view](const ByteSink& out) { return report(view.bytes, out); });
    }
    writer.set_strings(tensors_key, names);
    writer.set_i32s(types_key, types);
    writer.set_i32s(shapes_key, shapes);
    writer.add_tensor(sums_name, DType::i64, {static_cast<int64_t>(sums.size())},
                      [&](const ByteSink& out) { return report(std::as_bytes(std::span(sums)), out); });
    return writer.write([&](std::span<const std::byte> bytes) {
        if (sums[0] == 0) sums[0] = static_cast<int64_t>(sum_of(bytes));  // the head comes first
        return sink(bytes);
    });
}

}  // namespace elver
