#include "formats/gguf.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/checked.hpp"
#include "base/text.hpp"

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
    return int_at(element_type_, bytes_ + i * scalar_bytes(element_type_));
}

std::optional<double> GgufValue::float_element(size_t i) const noexcept {
    if (type_ != GgufType::array || i >= n_) return std::nullopt;
    return float_at(element_type_, bytes_ + i * scalar_bytes(element_type_));
}

std::string_view GgufValue::string_element(size_t i) const noexcept {
    return i < strings_.size() ? strings_[i] : std::string_view();
}

// Reads the directory front to back. The first failure is kept and everything after it reads as zero, so that the
// reading code stays a straight line; sizes that drive loops are checked against what is left of the file first.
class GgufParser {
  public:
    explicit GgufParser(ByteSource source) : file_(std::move(source)), bytes_(file_.source_.bytes()) {}

    Result<Gguf> parse() {
        if (auto foreign_file = check_magic()) return std::move(*foreign_file);
        file_.version_ = read<uint32_t>("version");
        if (!error_ && (file_.version_ < 2 || file_.version_ > 3)) {
            fail(cat("version: expected 2 or 3, found ", file_.version_), "version");
        }
        const uint64_t n_tensors = count("tensor_count", 24);    // a name's length, rank, type and offset at least
        const uint64_t n_keys = count("metadata_kv_count", 13);  // a key's length, a type and a byte at least
        file_.metadata_.reserve(error_ ? 0 : n_keys);
        for (uint64_t i = 0; i < n_keys && !error_; ++i) read_pair();
        size_t alignment = 32;
        if (!error_) alignment = read_alignment();
        std::vector<uint64_t> offsets;
        for (uint64_t i = 0; i < n_tensors && !error_; ++i) offsets.push_back(read_tensor());
        if (!error_) place_tensors(offsets, alignment);
        if (error_) return std::move(*error_);
        return std::move(file_);
    }

  private:
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

    bool need(uint64_t n, std::string_view what) {
        if (error_) return false;
        if (n <= bytes_.size() - at_) return true;
        fail(cat(what, ": the file ends at byte ", bytes_.size(), ", but ", n, " bytes from ", at_, " on are needed"),
             what);
        return false;
    }

    template <class T>
    T read(std::string_view what) {
        if (!need(sizeof(T), what)) return T{};
        const T value = load<T>(bytes_.data() + at_);
        at_ += sizeof(T);
        return value;
    }

    // A number of things of at least min_bytes each, which must fit in the rest of the file.
    uint64_t count(std::string_view what, uint64_t min_bytes) {
        const auto n = read<uint64_t>(what);
        const uint64_t most = error_ ? 0 : (bytes_.size() - at_) / min_bytes;
        if (n > most) fail(cat(what, ": found ", n, ", but the file has room for ", most, " at most"), what);
        return error_ ? 0 : n;
    }

    std::string_view string(std::string_view what) {
        const auto n = read<uint64_t>(what);
        if (!need(n, what)) return {};
        const std::string_view text(reinterpret_cast<const char*>(bytes_.data() + at_), n);
        at_ += n;
        return text;
    }

    GgufType type(std::string_view key) {
        const auto id = read<uint32_t>(key);
        if (id > static_cast<uint32_t>(GgufType::f64))
            fail(cat("key ", in_quotes(key), ": expected a value type 0 to 12, found ", id), key);
        return error_ ? GgufType::u8 : static_cast<GgufType>(id);
    }

    void read_pair() {
        const std::string_view key = string("metadata key");
        if (error_) return;
        if (key.empty() || key.size() > 65535)
            return fail(cat("metadata key: expected 1 to 65535 bytes, found ", key.size()), "key");
        GgufValue value;
        value.type_ = type(key);
        const size_t start = at_;
        if (value.type_ == GgufType::array) {
            read_array(key, value);
        } else if (value.type_ == GgufType::string) {
            const std::string_view text = string(key);
            value.bytes_ = reinterpret_cast<const std::byte*>(text.data());
            value.n_ = text.size();
        } else {
            value.bytes_ = bytes_.data() + at_;
            if (need(scalar_bytes(value.type_), key)) at_ += scalar_bytes(value.type_);
        }
        if (error_) return;
        value.raw_ = bytes_.subspan(start, at_ - start);
        if (!file_.metadata_index_.emplace(key, file_.metadata_.size()).second) {
            return fail(cat("key ", in_quotes(key), ": expected once, found twice"), key);
        }
        file_.metadata_.emplace_back(key, std::move(value));
    }

    void read_array(std::string_view key, GgufValue& value) {
        value.element_type_ = type(key);
        if (value.element_type_ == GgufType::array) {
            return fail(cat("key ", in_quotes(key), ": expected an array of plain values, found an array of arrays"),
                        key);
        }
        const size_t each = scalar_bytes(value.element_type_);
        value.n_ = count(key, each == 0 ? 8 : each);
        value.bytes_ = bytes_.data() + at_;
        if (error_) return;
        if (each != 0) {
            at_ += value.n_ * each;
            return;
        }
        value.strings_.reserve(value.n_);
        for (size_t i = 0; i < value.n_ && !error_; ++i) value.strings_.push_back(string(key));
    }

    size_t read_alignment() {
        const auto alignment = file_.get_int_or("general.alignment", 32);
        if (!alignment) {
            error_.emplace(alignment.error());
            return 32;
        }
        const bool power_of_two = *alignment > 0 && (*alignment & (*alignment - 1)) == 0;
        if (!power_of_two || *alignment < 8 || *alignment > (1 << 20)) {
            fail(cat("key \"general.alignment\": expected a power of two from 8 to 1048576, found ", *alignment),
                 "general.alignment");
        }
        return static_cast<size_t>(*alignment);
    }

    // Reads a directory entry; returns its offset from the start of the tensor data.
    uint64_t read_tensor() {
        const std::string_view name = string("tensor name");
        const auto rank = read<uint32_t>(name);
        if (!error_ && (rank < 1 || rank > Shape::max_rank)) {
            fail(cat("tensor ", in_quotes(name), ": expected 1 to ", Shape::max_rank, " dimensions, found ", rank),
                 name);
        }
        if (error_) return 0;
        int64_t dims[Shape::max_rank];
        uint64_t n_elements = 1;
        for (uint32_t i = 0; i < rank; ++i) {
            const auto dim = read<uint64_t>(name);
            const auto product = checked_mul<uint64_t>(n_elements, dim);
            if (!error_ && (dim == 0 || !product || *product > (uint64_t{1} << 62))) {
                fail(cat("tensor ", in_quotes(name), ": dimension ", i, " is ", dim,
                         ", so its size is not a number of elements"),
                     name);
            }
            if (error_) return 0;
            n_elements = *product;
            dims[rank - 1 - i] = static_cast<int64_t>(dim);  // the file writes the innermost first
        }
        const auto type_id = read<uint32_t>(name);
        const auto offset = read<uint64_t>(name);
        if (error_) return 0;
        const auto dtype = dtype_from_gguf(type_id);
        if (!dtype) {
            fail(cat("tensor ", in_quotes(name), ": unknown type ", type_id), name);
            return 0;
        }
        const Shape shape{std::span<const int64_t>(dims, rank)};
        const DTypeInfo& info = dtype_info(*dtype);
        if (shape.columns() % info.block_size != 0) {
            fail(cat("tensor ", in_quotes(name), ": rows of ", info.name, " are multiples of ", info.block_size,
                     ", found ", shape.columns()),
                 name);
            return 0;
        }
        const auto n_bytes = checked_mul<uint64_t>(n_elements / info.block_size, info.block_bytes);
        if (!n_bytes || *n_bytes > bytes_.size()) {
            fail(cat("tensor ", in_quotes(name), ": ", n_elements, " elements of ", info.name,
                     " are more than the file holds"),
                 name);
            return 0;
        }
        if (!file_.tensor_index_.emplace(name, file_.tensors_.size()).second) {
            fail(cat("tensor ", in_quotes(name), ": expected once, found twice"), name);
            return 0;
        }
        file_.tensors_.push_back({name, {*dtype, shape, std::span<const std::byte>(bytes_.data(), *n_bytes)}, 0});
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
    const auto it = metadata_index_.find(key);
    return it == metadata_index_.end() ? nullptr : &metadata_[it->second].second;
}

const GgufTensor* Gguf::find_tensor(std::string_view name) const noexcept {
    const auto it = tensor_index_.find(name);
    return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
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
