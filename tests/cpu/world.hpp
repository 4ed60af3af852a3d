// A small world for operations: weights from a file in memory, a program, and passes over it.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "cpu/executor.hpp"
#include "formats/gguf_writer.hpp"
#include "kernels/select.hpp"
#include "message_of.hpp"
#include "quant/decode.hpp"
#include "quant/encode.hpp"

namespace elver::test {

using Floats = std::vector<float>;

inline Floats normal(size_t n, unsigned seed, float scale = 1.0f) {
    std::mt19937 random(seed);
    std::normal_distribution<float> one;
    Floats out(n);
    for (float& v : out) v = scale * one(random);
    return out;
}

class World {
  public:
    World(const std::string& isa, int n_threads) : kernels_(*find_kernels(isa)) {
        auto pool = ThreadPool::make(n_threads);
        REQUIRE(pool);
        pool_ = *std::move(pool);
    }

    graph::Program program;
    const KernelTable& kernels() const { return *kernels_; }
    ThreadPool& pool() { return *pool_; }

    // A matrix [n_rows, k] in a type; `values` become what the type makes of them.
    graph::Matrix matrix(Floats& values, int n_rows, int k, DType type = DType::f32) {
        const auto columns = static_cast<size_t>(k);
        std::vector<std::byte> bytes(row_bytes(type, columns) * static_cast<size_t>(n_rows));
        for (size_t r = 0; r < static_cast<size_t>(n_rows); ++r) {
            std::byte* row = bytes.data() + r * row_bytes(type, columns);
            encoder(type)(values.data() + r * columns, row, columns);
            decoder(type)(row, values.data() + r * columns, columns);
        }
        add(type, {n_rows, k}, std::move(bytes), n_rows);
        graph::Matrix m;
        m.ref = {static_cast<int>(tensors_.size()) - 1};
        m.type = type, m.n_rows = n_rows, m.k = k;
        return m;
    }
    WeightRef vector(const Floats& values) {
        const auto bytes = std::as_bytes(std::span(values));
        add(DType::f32, {static_cast<int64_t>(values.size())}, {bytes.begin(), bytes.end()}, 0);
        return {static_cast<int>(tensors_.size()) - 1};
    }

    // Once all weights are there and the program is complete.
    void load(int max_rows, int max_outputs = 4, int n_ctx = 64) {
        if (program.hidden_begin == 0) program.begin_head(), program.begin_hidden();
        GgufWriter out;
        for (size_t i = 0; i < tensors_.size(); ++i)
            out.add_tensor("t" + std::to_string(i), tensors_[i].type, tensors_[i].shape, tensors_[i].bytes);
        auto bytes = out.write_memory();
        REQUIRE(bytes);
        bytes_ = *std::move(bytes);
        auto file = Gguf::parse(ByteSource::borrow(bytes_, "world"));
        REQUIRE_MESSAGE(file, message_of(file));
        file_ = std::make_unique<Gguf>(*std::move(file));
        weights_ = std::make_unique<Weights>(*file_, *kernels_);
        for (size_t i = 0; i < tensors_.size(); ++i) {
            const GgufTensor& t = *file_->find_tensor("t" + std::to_string(i));
            const Tensor& wanted = tensors_[i];
            const auto ref = wanted.n_rows > 0 ? weights_->add_matrix(t, 0, wanted.n_rows)
                                               : weights_->add_vector(t, 0, wanted.shape.n_elements());
            REQUIRE_MESSAGE(ref, message_of(ref));
            CHECK(ref->number == static_cast<int>(i));
        }
        const auto loaded = weights_->load(*pool_, {}, nullptr);
        REQUIRE(loaded);
        executor_ = std::make_unique<cpu::Executor>(program, *weights_, *kernels_, *pool_);
        scratch_ = executor_->plan_scratch(max_rows, max_outputs, n_ctx);
        // Each buffer apart from all others: tests write and read them before and after all operations.
        for (size_t b = 0; b < program.buffers.size(); ++b) {
            scratch_.buffer_at[b] = scratch_.n_bytes;
            scratch_.n_bytes += static_cast<size_t>(max_rows) * executor_->stride(static_cast<int>(b)) * sizeof(float);
        }
        auto memory = AlignedBuffer::make(scratch_.n_bytes, "scratch");
        REQUIRE(memory);
        memory_ = *std::move(memory);
        scratch_.memory = memory_.data();
        std::memset(memory_.data(), 0xff, memory_.size());  // not a number
    }

    float* row(graph::BufferId buffer, int i) { return executor_->row(scratch_, buffer, i); }
    void put(graph::BufferId buffer, const Floats& rows, int n) {
        const size_t width = rows.size() / static_cast<size_t>(n);
        for (int i = 0; i < n; ++i) std::copy_n(&rows[static_cast<size_t>(i) * width], width, row(buffer, i));
    }
    Floats get(graph::BufferId buffer, int n) {
        const auto width = static_cast<size_t>(program.buffers[static_cast<size_t>(buffer)].width);
        Floats out;
        for (int i = 0; i < n; ++i) out.insert(out.end(), row(buffer, i), row(buffer, i) + width);
        return out;
    }

    // All operations over the rows of segments. Without a cache or state, segments are one of n rows.
    bool run(std::vector<cpu::Segment> segments, const cpu::Probe* probe = nullptr) {
        std::vector<int32_t> pos;
        for (cpu::Segment& s : segments) {
            s.first_row = static_cast<int>(pos.size());
            for (int i = 0; i < s.n_tokens; ++i) pos.push_back(s.first_pos + i);
        }
        std::atomic<size_t> stop{SIZE_MAX};
        cpu::Pass pass;
        pass.scratch = &scratch_;
        pass.segments = segments;
        pass.pos = pos.data(), pass.n_rows = static_cast<int>(pos.size());
        pass.stop = &stop, pass.fault = &fault;
        pass.probe = probe;
        fault.clear();
        return executor_->run(pass, 0, static_cast<int>(program.ops.size()));
    }
    bool run(int n, const cpu::Probe* probe = nullptr) { return run({{nullptr, nullptr, 0, n, 0}}, probe); }

    cpu::Fault fault;

  private:
    struct Tensor {
        DType type;
        Shape shape;
        std::vector<std::byte> bytes;
        int n_rows;  // 0: a vector
    };
    void add(DType type, Shape shape, std::vector<std::byte> bytes, int n_rows) {
        tensors_.push_back({type, shape, std::move(bytes), n_rows});
    }

    const KernelTable* kernels_;
    std::unique_ptr<ThreadPool> pool_;
    std::deque<Tensor> tensors_;
    std::vector<std::byte> bytes_;
    std::unique_ptr<Gguf> file_;
    std::unique_ptr<Weights> weights_;
    std::unique_ptr<cpu::Executor> executor_;
    cpu::Scratch scratch_;
    AlignedBuffer memory_;
};

// The greatest difference, over the greatest value expected.
inline double worst(const Floats& found, const std::vector<double>& expected) {
    REQUIRE(found.size() == expected.size());
    double difference = 0, scale = 0;
    for (size_t i = 0; i < found.size(); ++i) {
        if (!(std::abs(double(found[i])) < 1e30)) return INFINITY;
        difference = std::max(difference, std::abs(double(found[i]) - expected[i]));
        scale = std::max(scale, std::abs(expected[i]));
    }
    return difference / scale;
}

}  // namespace elver::test
