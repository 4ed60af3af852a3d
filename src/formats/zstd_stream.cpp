#include "formats/zstd_stream.hpp"

#include <zstd.h>
#include <zstd_errors.h>

#include "base/text.hpp"

namespace elver {

namespace {

bool is_out_of_memory(size_t code) noexcept {
    return ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation;
}

Error read_error(size_t code, const std::string& name) {
    if (is_out_of_memory(code)) return Error(Status::out_of_memory, cat(name, ": zstd: out of memory"), name);
    return Error(Status::bad_file, cat(name, ": the compressed part is damaged: ", ZSTD_getErrorName(code)), name);
}

}  // namespace

void ZstdWriter::Release::operator()(void* stream) const noexcept {
    ZSTD_freeCCtx(static_cast<ZSTD_CCtx*>(stream));
}

Result<ZstdWriter> ZstdWriter::make(ByteSink sink) {
    ZstdWriter writer;
    ZSTD_CCtx* stream = ZSTD_createCCtx();
    if (stream == nullptr) return Error(Status::out_of_memory, "zstd: out of memory");
    writer.stream_.reset(stream);
    ZSTD_CCtx_setParameter(stream, ZSTD_c_compressionLevel, 1);
    ZSTD_CCtx_setParameter(stream, ZSTD_c_checksumFlag, 1);
    writer.sink_ = std::move(sink);
    writer.out_.resize(ZSTD_CStreamOutSize());
    return writer;
}

Result<void> ZstdWriter::write(std::span<const std::byte> bytes) {
    return step(bytes, false);
}
Result<void> ZstdWriter::finish() {
    return step({}, true);
}

Result<void> ZstdWriter::step(std::span<const std::byte> bytes, bool end) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    while (true) {
        ZSTD_outBuffer out{out_.data(), out_.size(), 0};
        const size_t left =
            ZSTD_compressStream2(static_cast<ZSTD_CCtx*>(stream_.get()), &out, &in, end ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left)) {
            return Error(is_out_of_memory(left) ? Status::out_of_memory : Status::internal,
                         cat("zstd: ", ZSTD_getErrorName(left)));
        }
        if (out.pos > 0) {
            if (auto done = sink_(std::span(out_).first(out.pos)); !done) return done;
        }
        if (end ? left == 0 : in.pos == in.size) return {};
    }
}

void ZstdReader::Release::operator()(void* stream) const noexcept {
    ZSTD_freeDCtx(static_cast<ZSTD_DCtx*>(stream));
}

Result<ZstdReader> ZstdReader::make(std::span<const std::byte> bytes, std::string name) {
    ZstdReader reader;
    ZSTD_DCtx* stream = ZSTD_createDCtx();
    if (stream == nullptr) return Error(Status::out_of_memory, "zstd: out of memory");
    reader.stream_.reset(stream);
    // Level 1 needs a window of 512 KiB; a hostile frame may not ask for gigabytes.
    ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, 23);
    reader.bytes_ = bytes;
    reader.name_ = std::move(name);
    return reader;
}

Result<void> ZstdReader::read(std::span<std::byte> bytes) {
    ZSTD_outBuffer out{bytes.data(), bytes.size(), 0};
    while (out.pos < out.size) {
        const size_t before = out.pos;
        ZSTD_inBuffer in{bytes_.data(), bytes_.size(), 0};
        const size_t left = done_ ? 0 : ZSTD_decompressStream(static_cast<ZSTD_DCtx*>(stream_.get()), &out, &in);
        if (ZSTD_isError(left)) return read_error(left, name_);
        bytes_ = bytes_.subspan(in.pos);
        done_ = done_ || left == 0;
        if (out.pos < out.size && (done_ || (in.pos == 0 && out.pos == before)))
            return Error(Status::bad_file, cat(name_, ": the compressed part ends too early"), name_);
    }
    return {};
}

Result<void> ZstdReader::end() {
    // The sum at the frame's end is read and checked once an empty read is asked for.
    ZSTD_outBuffer out{nullptr, 0, 0};
    ZSTD_inBuffer in{bytes_.data(), bytes_.size(), 0};
    const size_t left = done_ ? 0 : ZSTD_decompressStream(static_cast<ZSTD_DCtx*>(stream_.get()), &out, &in);
    if (ZSTD_isError(left)) return read_error(left, name_);
    if (left != 0)
        return Error(Status::bad_file, cat(name_, ": the compressed part ends too early or goes on too long"), name_);
    if (in.pos != in.size && !(done_ && bytes_.empty()))
        return Error(Status::bad_file, cat(name_, ": ", in.size - in.pos, " bytes after the end"), name_);
    return {};
}

}  // namespace elver
