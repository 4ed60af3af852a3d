#include "tools/quantize.hpp"

#include <atomic>
#include <cmath>
#include <cstdio>

#include "base/cpu.hpp"
#include "base/text.hpp"
#include "base/thread_pool.hpp"
#include "formats/gguf_writer.hpp"
#include "quant/decode.hpp"
#include "quant/encode.hpp"

namespace elver {

namespace {

// file_type: the number that GGUF files call a model of this type by. smaller: what rows take that this type's blocks
// do not fit.
struct Target {
    DType type;
    uint32_t file_type;
    DType smaller;
};
constexpr Target targets[] = {
    {DType::f32, 0, DType::f32},    {DType::f16, 1, DType::f16},    {DType::bf16, 32, DType::bf16},
    {DType::q4_0, 2, DType::f16},   {DType::q4_1, 3, DType::f16},   {DType::q5_0, 8, DType::f16},
    {DType::q5_1, 9, DType::f16},   {DType::q8_0, 7, DType::f16},   {DType::iq4_nl, 25, DType::f16},
    {DType::mxfp4, 38, DType::f16}, {DType::q2_k, 10, DType::q4_0}, {DType::q3_k, 11, DType::q4_0},
    {DType::q4_k, 14, DType::q5_0}, {DType::q5_k, 16, DType::q5_1}, {DType::q6_k, 18, DType::q8_0},
};

const Target* find_target(DType type) noexcept {
    for (const Target& t : targets) {
        if (t.type == type) return &t;
    }
    return nullptr;
}

// Parts of the names of matrices that are not multiplied, or whose few values decide much.
constexpr std::string_view kept[] = {"norm",  "position_embd", "token_types", "ffn_gate_inp",
                                     "rope_", "ssm_",          "time_mix_"};

DType type_of(const GgufTensor& tensor, const Target& target) {
    const Shape& shape = tensor.view.shape;
    bool keep = shape.rank() < 2 || shape.rows() < 2 || !tensor.name.ends_with(".weight");
    for (const std::string_view part : kept) keep = keep || tensor.name.find(part) != std::string_view::npos;
    if (keep) return tensor.view.type;
    const Target* t = &target;
    while (shape.columns() % dtype_info(t->type).block_size != 0) t = find_target(t->smaller);
    return t->type;
}

class Job {
  public:
    Job(const Gguf& file, ThreadPool& pool, const Progress& progress) : file_(file), pool_(pool), progress_(progress) {}

    void count(const GgufTensor& tensor) { total_ += tensor.view.bytes.size(); }

    // The tensor's bytes in another type, valid until the next call.
    Result<std::span<const std::byte>> encode(const GgufTensor& tensor, DType type) {
        const TensorView& view = tensor.view;
        const auto columns = static_cast<size_t>(view.shape.columns()), rows = static_cast<size_t>(view.shape.rows());
        const DecodeRow decode = decoder(view.type);
        if (decode == nullptr) {
            return Error(
                Status::unsupported,
                cat(file_.name(), ": tensor ", in_quotes(tensor.name), ": cannot decode ", dtype_name(view.type)),
                std::string(tensor.name));
        }
        const EncodeRow encode_row = encoder(type);
        const float greatest = greatest_encodable(type);
        const size_t stride = row_bytes(type, columns);
        out_.resize(rows * stride);
        std::atomic<size_t> bad_row{SIZE_MAX};
        // About a MiB of floats a step, so that a cancelled job ends soon.
        const size_t step = std::max<size_t>(16, (size_t{1} << 22) / columns);
        for (size_t first = 0; first < rows; first += step) {
            pool_.parallel_for(std::min(step, rows - first), 4, [&](size_t begin, size_t end) {
                std::vector<float> values(columns);
                for (size_t r = first + begin; r < first + end; ++r) {
                    decode(view.row(static_cast<int64_t>(r)), values.data(), columns);
                    for (const float v : values) {
                        if (!(std::fabs(v) <= greatest)) bad_row = r;  // NaN too
                    }
                    encode_row(values.data(), out_.data() + r * stride, columns);
                }
            });
            if (bad_row != SIZE_MAX) return bad_numbers(tensor, type, bad_row);
            const size_t source_bytes = view.bytes.size() / rows * std::min(step, rows - first);
            if (auto on = advance(source_bytes); !on) return on.error();
        }
        return std::span<const std::byte>(out_);
    }

    Result<std::span<const std::byte>> keep(const GgufTensor& tensor) {
        if (auto on = advance(tensor.view.bytes.size()); !on) return on.error();
        return tensor.view.bytes;
    }

  private:
    // Says of a row that has a number which is not finite, or is not in the new type.
    Error bad_numbers(const GgufTensor& tensor, DType type, size_t row) const {
        std::vector<float> values(static_cast<size_t>(tensor.view.shape.columns()));
        decoder(tensor.view.type)(tensor.view.row(static_cast<int64_t>(row)), values.data(), values.size());
        const std::string where = cat(file_.name(), ": tensor ", in_quotes(tensor.name), ": row ", row);
        float most = 0;
        for (const float v : values) {
            if (!std::isfinite(v))
                return Error(Status::bad_file, cat(where, ": expected finite numbers, found one that is not"),
                             std::string(tensor.name));
            if (std::fabs(v) > std::fabs(most)) most = v;
        }
        char number[32];
        std::snprintf(number, sizeof number, "%g", static_cast<double>(most));
        return Error(Status::unsupported,
                     cat(where, ": ", number, " is beyond the range of ", dtype_name(type),
                         type == DType::bf16 ? "; F32 holds it" : "; BF16 and F32 hold it"),
                     std::string(tensor.name));
    }

    Result<void> advance(size_t n_bytes) {
        done_ += n_bytes;
        if (!progress_ || progress_(static_cast<double>(done_) / static_cast<double>(total_))) return {};
        return Error(Status::cancelled, cat(file_.name(), ": quantising was cancelled"), file_.name());
    }

    const Gguf& file_;
    ThreadPool& pool_;
    const Progress& progress_;
    std::vector<std::byte> out_;
    size_t done_ = 0, total_ = 0;
};

}  // namespace

Result<void> quantize_model(ByteSource source, const ByteSink& sink, const QuantizeOptions& options,
                            const Progress& progress) {
    const Target* target = find_target(options.type);
    if (target == nullptr) {
        std::string known;
        for (const Target& t : targets) known += cat(known.empty() ? "" : ", ", dtype_name(t.type));
        return Error(Status::unsupported, cat("type: expected one of ", known, ", found ", dtype_name(options.type)),
                     "type");
    }
    const auto file = Gguf::open(std::move(source));
    if (!file) return file.error();
    auto pool = ThreadPool::make(options.n_threads > 0 ? options.n_threads : usable_cores());
    if (!pool) return std::move(pool).error();
    GgufWriter writer;
    for (const auto& [key, value] : file->metadata()) {
        if (key != "general.file_type" && key != "general.quantization_version") writer.copy(key, value);
    }
    writer.set_u32("general.file_type", target->file_type);
    writer.set_u32("general.quantization_version", 2);  // of the block formats as they are now
    Job job(*file, **pool, progress);
    for (const GgufTensor& tensor : file->tensors()) {
        job.count(tensor);
        const DType type = type_of(tensor, *target);
        writer.add_tensor(tensor.name, type, tensor.view.shape,
                          [&job, &tensor, type](const ByteSink& out) -> Result<void> {
                              const auto bytes = type == tensor.view.type ? job.keep(tensor) : job.encode(tensor, type);
                              return bytes ? out(*bytes) : bytes.error();
                          });
    }
    return writer.write(sink);
}

}  // namespace elver
