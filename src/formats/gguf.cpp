#include "formats/gguf.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/checked.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"

namespace elver {

static_assert(std::endian::native == std::endian::little, "GGUF values are read in place");

namespace {

template <class T>
T load(const std::byte* p) noexcept {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
}

// Bytes of a scalar; 0 for strings and arrays.
size_t scalar_bytes(GgufType type) noexcept {
    switch (type) {
        case GgufType::u8:
        case GgufType::i8:
        case GgufType::boolean:
            return 1;
        case GgufType::u16:
        case GgufType::i16:
            return 2;
        case GgufType::u32:
        case GgufType::i32:
        case GgufType::f32:
            return 4;
        case GgufType::u64:
        case GgufType::i64:
        case GgufType::f64:
            return 8;
        case GgufType::string:
        case GgufType::array:
            return 0;
    }
    return 0;
}

struct Magic {
    std::string_view bytes;
    const char* what;
};
constexpr Magic foreign[] = {
    {"\x7f"
     "ELF",
     "an ELF program"},
    {"PK\x03\x04", "a zip archive (perhaps a PyTorch checkpoint)"},
    {"GGML", "an old GGML file"},
    {"ggjt", "an old GGJT file"},
    {"FUGG", "a big-endian GGUF file"},
    {"\x28\xb5\x2f\xfd", "a zstd archive"},
    {"\x1f\x8b", "a gzip archive"},
    {"version https://git-lfs", "a Git LFS pointer, not the file itself"},
    {"<!DOCTYPE", "a web page"},
    {"<html", "a web page"},
};

}  // namespace

const char* gguf_type_name(GgufType type) noexcept {
    static const char* names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                  "bool", "string", "array", "u64", "i64", "f64"};
    const auto i = static_cast<uint32_t>(type);
    return i < std::size(names) ? names[i] : "unknown";
}

std::optional<int64_t> GgufValue::int_at(GgufType type, const std::byte* p) noexcept {
    switch (type) {
        case GgufType::u8:
            return load<uint8_t>(p);
        case GgufType::i8:
            return load<int8_t>(p);
        case GgufType::u16:
            return load<uint16_t>(p);
        case GgufType::i16:
            return load<int16_t>(p);
        case GgufType::u32:
            return load<uint32_t>(p);
        case GgufType::i32:
            return load<int32_t>(p);
        case GgufType::i64:
            return load<int64_t>(p);
        case GgufType::u64: {
            const auto value = load<uint64_t>(p);
            if (value > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
            return static_cast<int64_t>(value);
        }
        default:
            return std::nullopt;
    }
}

std::optional<double> GgufValue::float_at(GgufType type, const std::byte* p) noexcept {
    if (type == GgufType::f32) return load<float>(p);
    if (type == GgufType::f64) return load<double>(p);
    if (type == GgufType::u64) return static_cast<double>(load<uint64_t>(p));
    if (const auto value = int_at(type, p)) return static_cast<double>(*value);
    return std::nullopt;
}

std::optional<bool> GgufValue::as_bool() const noexcept {
    if (type_ != GgufType::boolean) return std::nullopt;
    return load<uint8_t>(bytes_) != 0;
}

std::optional<std::string_view> GgufValue::as_string() const noexcept {
    if (type_ != GgufType::string) return std::nullopt;
    return std::string_view(reinterpret_cast<const char*>(bytes_), n_);
}

std::optional<int64_t> GgufValue::int_element(size_t i) const noexcept {
    if (type_ != GgufType::array || i >= n_) return std::nullopt;
    const GgufType type = element_type_ == GgufType::boolean ? GgufType::u8 : element_type_;
    return int_at(type, bytes_ + i * scalar_bytes(element_type_));
}

std::optional<double> GgufValue::float_element(size_t i) const noexcept {
    if (type_ != GgufType::array || i >= n_) return std::nullopt;
    return float_at(element_type_, bytes_ + i * scalar_bytes(element_type_));
}

std::string_view GgufValue::string_element(size_t i) const noexcept {
    return i < strings_.size() ? strings_[i] : std::string_view();
}

bool is_gguf_alignment(int64_t alignment) noexcept {
    return alignment >= 8 && alignment <= (1 << 20) && (alignment & (alignment - 1)) == 0;
}

// Reads the directory front to back. The first failure is kept and everything after it reads as zero, so that the
// reading code stays a straight line; sizes that drive loops are checked against what is left of the file first, and
// nothing is allocated before the bytes that fill it were seen.
class GgufParser {
  public:
    explicit GgufParser(ByteSource source) : file_(std::move(source)), bytes_(file_.parts_.front().bytes()) {}

    Result<Gguf> parse() {
        if (auto foreign_file = check_magic()) return std::move(*foreign_file);
        read_version();
        const uint64_t n_tensors = count({"tensor_count"}, 24);    // a name's length, rank, type and offset at least
        const uint64_t n_keys = count({"metadata_kv_count"}, 13);  // a key's length, a type and a byte at least
        if (n_keys > max_keys) {
            fail(cat("metadata_kv_count: expected at most ", max_keys, ", found ", n_keys), "metadata_kv_count");
        }
        for (uint64_t i = 0; i < n_keys && !error_; ++i) read_pair();
        if (!error_) {
            index(file_.metadata_index_, file_.metadata_.size(), "key",
                  [&](size_t i) { return file_.metadata_[i].first; });
        }
        size_t alignment = 32;
        if (!error_) alignment = read_alignment();
        std::vector<uint64_t> offsets;
        for (uint64_t i = 0; i < n_tensors && !error_; ++i) offsets.push_back(read_tensor());
        if (!error_) {
            index(file_.tensor_index_, file_.tensors_.size(), "tensor",
                  [&](size_t i) { return file_.tensors_[i].name; });
        }
        if (!error_) place_tensors(offsets, alignment);
        if (error_) return std::move(*error_);
        return std::move(file_);
    }

  private:
    // A key takes some 200 bytes of memory, however short it is in the file; models have fewer than a hundred.
    static constexpr uint64_t max_keys = 65536;

    // What is being read: a field of the header, or a key or tensor by its name.
    struct What {
        std::string_view kind;
        std::string_view name = {};

        std::string text() const { return name.empty() ? std::string(kind) : cat(kind, " ", in_quotes(name)); }
        std::string_view object() const { return name.empty() ? kind : name; }
    };

    std::optional<Error> check_magic() const {
        const std::string_view head(reinterpret_cast<const char*>(bytes_.data()), std::min<size_t>(bytes_.size(), 64));
        if (head.substr(0, 4) == "GGUF") return std::nullopt;
        const auto found = [&](std::string_view what) {
            return Error(Status::bad_file, cat(file_.name(), ": expected a GGUF file, found ", what), file_.name());
        };
        for (const Magic& m : foreign) {
            if (head.substr(0, m.bytes.size()) == m.bytes) return found(m.what);
        }
        if (head.size() > 9 && head[8] == '{' && head[9] == '"') return found("what looks like a safetensors file");
        if (head.size() < 4) return found(cat("only ", head.size(), " bytes"));
        return found(cat("a file that begins with ", in_quotes(head.substr(0, 4))));
    }

    void fail(std::string what, std::string_view object) {
        if (!error_) error_.emplace(Status::bad_file, cat(file_.name(), ": ", what), std::string(object));
    }

    bool need(uint64_t n, What what) {
        if (error_) return false;
        if (n <= bytes_.size() - at_) return true;
        fail(cat(what.text(), ": the file ends at byte ", bytes_.size(), ", but ", n, " bytes from ", at_,
                 " on are needed"),
             what.object());
        return false;
    }

    template <class T>
    T read(What what) {
        if (!need(sizeof(T), what)) return T{};
        const T value = load<T>(bytes_.data() + at_);
        at_ += sizeof(T);
        return value;
    }

    void read_version() {
        const auto version = read<uint32_t>({"version"});
        if (error_ || version == 2 || version == 3) {
            file_.version_ = version;
        } else if (version == 2u << 24 || version == 3u << 24) {
            fail(cat("version: expected 2 or 3, found ", version >> 24, " in big-endian order, which is not supported"),
                 "version");
        } else {
            fail(cat("version: expected 2 or 3, found ", version), "version");
        }
    }

    // A number of things of at least min_bytes each, which must fit in the rest of the file.
    uint64_t count(What what, uint64_t min_bytes) {
        const auto n = read<uint64_t>(what);
        const uint64_t most = error_ ? 0 : (bytes_.size() - at_) / min_bytes;
        if (n > most) {
            fail(cat(what.text(), ": found ", n, ", but the file has room for ", most, " at most"), what.object());
        }
        return error_ ? 0 : n;
    }

    std::string_view string(What what) {
        const auto n = read<uint64_t>(what);
        if (!need(n, what)) return {};
        const std::string_view text(reinterpret_cast<const char*>(bytes_.data() + at_), n);
        at_ += n;
        return text;
    }

    // Of a key or tensor. Names reach messages and other languages, so they are text.
    std::string_view name(std::string_view kind) {
        const std::string_view text = string({kind});
        if (error_) return {};
        if (text.empty() || text.size() > gguf_max_name_bytes) {
            fail(cat(kind, ": expected 1 to ", gguf_max_name_bytes, " bytes, found ", text.size()), kind);
        } else if (!is_valid_utf8(text)) {
            fail(cat(kind, ": expected UTF-8, found ", in_quotes(text)), kind);
        }
        return error_ ? std::string_view() : text;
    }

    GgufType type(What what) {
        const auto id = read<uint32_t>(what);
        if (id > static_cast<uint32_t>(GgufType::f64)) {
            fail(cat(what.text(), ": expected a value type 0 to 12, found ", id), what.object());
        }
        return error_ ? GgufType::u8 : static_cast<GgufType>(id);
    }

    // Orders the numbers of n things by name. A table of hashes would need more memory, and a file could be made so
    // that all its names share a place in it.
    template <class NameOf>
    void index(std::vector<uint32_t>& order, size_t n, std::string_view kind, NameOf&& name_of) {
        if (n > UINT32_MAX) return fail(cat(kind, "s: found ", n, ", expected less than 2^32"), kind);
        order.resize(n);
        for (size_t i = 0; i < n; ++i) order[i] = static_cast<uint32_t>(i);
        std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return name_of(a) < name_of(b); });
        for (size_t i = 1; i < n; ++i) {
            const std::string_view here = name_of(order[i]);
            if (here != name_of(order[i - 1])) continue;
            return fail(cat(kind, " ", in_quotes(here), ": expected once, found twice"), here);
        }
    }

    void read_pair() {
        const std::string_view key = name("metadata key");
        if (error_) return;
        GgufValue value;
        value.type_ = type({"key", key});
        const size_t start = at_;
        if (value.type_ == GgufType::array) {
            read_array({"key", key}, value);
        } else if (value.type_ == GgufType::string) {
            const std::string_view text = string({"key", key});
            value.bytes_ = reinterpret_cast<const std::byte*>(text.data());
            value.n_ = text.size();
        } else {
            value.bytes_ = bytes_.data() + at_;
            if (need(scalar_bytes(value.type_), {"key", key})) at_ += scalar_bytes(value.type_);
        }
        if (error_) return;
        value.raw_ = bytes_.subspan(start, at_ - start);
        file_.metadata_.emplace_back(key, std::move(value));
    }

    void read_array(What what, GgufValue& value) {
        value.element_type_ = type(what);
        if (value.element_type_ == GgufType::array) {
            return fail(cat(what.text(), ": expected an array of plain values, found an array of arrays"),
                        what.object());
        }
        const size_t each = scalar_bytes(value.element_type_);
        value.n_ = count(what, each == 0 ? 8 : each);
        value.bytes_ = bytes_.data() + at_;
        if (error_) return;
        if (each != 0) {
            at_ += value.n_ * each;
            return;
        }
        value.strings_.reserve(value.n_);  // at most twice the bytes that hold them
        for (size_t i = 0; i < value.n_ && !error_; ++i) value.strings_.push_back(string(what));
    }

    size_t read_alignment() {
        const auto alignment = file_.get_int_or(gguf_alignment_key, gguf_default_alignment);
        if (!alignment) {
            error_.emplace(alignment.error());
            return gguf_default_alignment;
        }
        if (!is_gguf_alignment(*alignment)) {
            error_.emplace(file_.key_error(gguf_alignment_key, "a power of two from 8 to 1048576", cat(*alignment)));
        }
        return static_cast<size_t>(*alignment);
    }

    // Reads a directory entry; returns its offset from the start of the tensor data.
    uint64_t read_tensor() {
        const What what{"tensor", name("tensor name")};
        const auto fail_here = [&](std::string text) {
            fail(cat(what.text(), ": ", text), what.object());
            return 0;
        };
        const auto rank = read<uint32_t>(what);
        if (error_) return 0;
        if (rank < 1 || rank > Shape::max_rank) {
            return fail_here(cat("expected 1 to ", Shape::max_rank, " dimensions, found ", rank));
        }
        int64_t dims[Shape::max_rank];
        uint64_t n_elements = 1;
        for (uint32_t i = 0; i < rank; ++i) {
            const auto dim = read<uint64_t>(what);
            if (error_) return 0;
            const auto product = checked_mul<uint64_t>(n_elements, dim);
            if (dim == 0 || !product || *product > (uint64_t{1} << 62)) {
                return fail_here(cat("expected 1 to 2^62 elements, found dimension ", i, " of ", dim));
            }
            n_elements = *product;
            dims[rank - 1 - i] = static_cast<int64_t>(dim);  // the file writes the innermost first
        }
        const auto type_id = read<uint32_t>(what);
        const auto offset = read<uint64_t>(what);
        if (error_) return 0;
        const auto dtype = dtype_from_gguf(type_id);
        if (!dtype) return fail_here(cat("unknown type ", type_id));
        const Shape shape{std::span<const int64_t>(dims, rank)};
        const DTypeInfo& info = dtype_info(*dtype);
        if (shape.columns() % info.block_size != 0) {
            return fail_here(cat("expected rows of a multiple of ", info.block_size, " elements, as ", info.name,
                                 " has, found ", shape.columns()));
        }
        const auto n_bytes = checked_mul<uint64_t>(n_elements / info.block_size, info.block_bytes);
        if (!n_bytes || *n_bytes > bytes_.size()) {
            return fail_here(cat(n_elements, " elements of ", info.name, " are more than the file of ", bytes_.size(),
                                 " bytes holds"));
        }
        file_.tensors_.push_back({what.name, {*dtype, shape, std::span<const std::byte>(bytes_.data(), *n_bytes)}, 0});
        return offset;
    }

    void place_tensors(const std::vector<uint64_t>& offsets, size_t alignment) {
        const uint64_t base = round_up(at_, alignment);
        for (size_t i = 0; i < offsets.size(); ++i) {
            GgufTensor& tensor = file_.tensors_[i];
            const size_t n = tensor.view.bytes.size();
            if (offsets[i] % alignment != 0) {
                return fail(cat("tensor ", in_quotes(tensor.name), ": expected an offset that is a multiple of ",
                                alignment, ", found ", offsets[i]),
                            tensor.name);
            }
            const auto start = checked_add<uint64_t>(base, offsets[i]);
            if (!start || *start > bytes_.size() || n > bytes_.size() - *start) {
                return fail(cat("tensor ", in_quotes(tensor.name), ": its ", n, " bytes at offset ", offsets[i],
                                " leave the file of ", bytes_.size(), " bytes (is the file cut short?)"),
                            tensor.name);
            }
            tensor.offset = *start;
            tensor.view.bytes = bytes_.subspan(*start, n);
        }
        std::vector<size_t> order(offsets.size());
        for (size_t i = 0; i < order.size(); ++i) order[i] = i;
        const auto& tensors = file_.tensors_;
        std::sort(order.begin(), order.end(),
                  [&](size_t a, size_t b) { return tensors[a].offset < tensors[b].offset; });
        for (size_t i = 1; i < order.size(); ++i) {
            const GgufTensor &before = tensors[order[i - 1]], &after = tensors[order[i]];
            if (before.offset + before.view.bytes.size() > after.offset) {
                return fail(
                    cat("tensor ", in_quotes(after.name), ": its bytes overlap those of ", in_quotes(before.name)),
                    after.name);
            }
        }
    }

    Gguf file_;
    std::span<const std::byte> bytes_;
    size_t at_ = 4;  // behind the magic
    std::optional<Error> error_;
};

Result<Gguf> Gguf::parse(ByteSource source) {
    return GgufParser(std::move(source)).parse();
}

const GgufValue* Gguf::find(std::string_view key) const noexcept {
    const auto it = std::lower_bound(metadata_index_.begin(), metadata_index_.end(), key,
                                     [&](uint32_t i, std::string_view k) { return metadata_[i].first < k; });
    return it == metadata_index_.end() || metadata_[*it].first != key ? nullptr : &metadata_[*it].second;
}

const GgufTensor* Gguf::find_tensor(std::string_view name) const noexcept {
    const auto it = std::lower_bound(tensor_index_.begin(), tensor_index_.end(), name,
                                     [&](uint32_t i, std::string_view n) { return tensors_[i].name < n; });
    return it == tensor_index_.end() || tensors_[*it].name != name ? nullptr : &tensors_[*it];
}

void Gguf::set_packed(size_t i, DType type, const Shape& shape) noexcept {
    tensors_[i].view.type = type;
    tensors_[i].view.shape = shape;
    tensors_[i].packed = true;
}

void Gguf::drop_last_tensor() {
    std::erase(tensor_index_, static_cast<uint32_t>(tensors_.size() - 1));
    tensors_.pop_back();
}

Error Gguf::key_error(std::string_view key, std::string_view expected, std::string_view found) const {
    return Error(Status::bad_file, cat(name(), ": key ", in_quotes(key), ": expected ", expected, ", found ", found),
                 std::string(key));
}

Error Gguf::missing_key(std::string_view key) const {
    return Error(Status::bad_file, cat(name(), ": key ", in_quotes(key), " is missing"), std::string(key));
}

Result<int64_t> Gguf::get_int(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return missing_key(key);
    if (const auto number = value->as_int()) return *number;
    return key_error(key, "an integer", gguf_type_name(value->type()));
}

Result<int64_t> Gguf::get_int_or(std::string_view key, int64_t fallback) const {
    if (find(key) == nullptr) return fallback;
    return get_int(key);
}

Result<double> Gguf::get_float_or(std::string_view key, double fallback) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return fallback;
    if (const auto number = value->as_float()) return *number;
    return key_error(key, "a number", gguf_type_name(value->type()));
}

Result<bool> Gguf::get_bool_or(std::string_view key, bool fallback) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return fallback;
    if (const auto flag = value->as_bool()) return *flag;
    return key_error(key, "true or false", gguf_type_name(value->type()));
}

Result<std::string_view> Gguf::get_string(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return missing_key(key);
    if (const auto text = value->as_string()) return *text;
    return key_error(key, "a string", gguf_type_name(value->type()));
}

Result<std::string_view> Gguf::get_string_or(std::string_view key, std::string_view fallback) const {
    if (find(key) == nullptr) return fallback;
    return get_string(key);
}

Result<const GgufTensor*> Gguf::tensor(std::string_view wanted) const {
    if (const GgufTensor* found = find_tensor(wanted)) return found;
    return Error(Status::bad_file, cat(name(), ": tensor ", in_quotes(wanted), " is missing"), std::string(wanted));
}

}  // namespace elver
