// Weights: what is planned is what is taken, parts of tensors are what they say, and a reference finds its bytes before
// and after loading.
#include "weights/weights.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "formats/gguf_writer.hpp"
#include "kernels/select.hpp"
#include "message_of.hpp"
#include "quant/decode.hpp"
#include "quant/encode.hpp"

using namespace elver;

namespace {

std::vector<float> normal(size_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> one;
    std::vector<float> out(n);
    for (float& v : out) v = one(random);
    return out;
}

std::vector<std::byte> encoded(DType type, const std::vector<float>& values) {
    std::vector<std::byte> out(row_bytes(type, values.size()));
    encoder(type)(values.data(), out.data(), values.size());
    return out;
}

// A file with a matrix of Q8_0 [40, 64], one of F32 [8, 64] and a vector of F16 [21].
struct File {
    std::vector<float> blocks = normal(40 * 64, 1), floats = normal(8 * 64, 2), vector = normal(21, 3);
    std::vector<std::byte> bytes;
    std::unique_ptr<Gguf> gguf;

    File() {
        GgufWriter out;
        const auto a = encoded(DType::q8_0, blocks), b = encoded(DType::f32, floats), c = encoded(DType::f16, vector);
        out.add_tensor("blocks", DType::q8_0, {40, 64}, a);
        out.add_tensor("floats", DType::f32, {8, 64}, b);
        out.add_tensor("vector", DType::f16, {21}, c);
        bytes = *out.write_memory();
        auto file = Gguf::parse(ByteSource::borrow(bytes, "file"));
        REQUIRE(file);
        gguf = std::make_unique<Gguf>(*std::move(file));
        decoder(DType::q8_0)(a.data(), blocks.data(), blocks.size());
        decoder(DType::f16)(c.data(), vector.data(), vector.size());
    }
    const GgufTensor& tensor(const char* name) const { return *gguf->find_tensor(name); }
};

// Row r of a matrix times x, by its own kernel.
std::vector<float> product(const KernelTable& kernels, const PackedMatrix& m, const std::vector<float>& x) {
    const size_t n_acts = acts_bytes(ActForms::all(), 1, static_cast<size_t>(m.k)),
                 scratch_bytes = (matmul_scratch_bytes(2) + 63) / 64 * 64,
                 y_floats = static_cast<size_t>(m.n_groups()) * 16;
    auto memory = AlignedBuffer::make(n_acts + scratch_bytes + y_floats * sizeof(float), "a product");
    REQUIRE(memory);
    float* y = memory->as<float>(n_acts + scratch_bytes);
    MatmulArgs args{};
    args.pack = m.data;
    args.k = m.k, args.n_rows = m.n_rows, args.n = 1;
    args.x = x.data();
    args.y = y;
    args.scratch = memory->as<float>(n_acts);
    args.group_end = m.n_groups();
    ActForms forms;
    forms.add(kernels.form(m.type));
    args.acts = PlacedActs(memory->data(), forms, 1, static_cast<size_t>(m.k)).acts;
    kernels.quantize({x.data(), 0, 1, m.k, 0, 1, args.acts});
    m.matmul(args);
    return {y, y + m.n_rows};
}

}  // namespace

TEST_CASE("weights: rows of a matrix, elements of a vector and rows of the file are those of the tensor") {
    const File file;
    auto pool = ThreadPool::make(2);
    REQUIRE(pool);
    for (const char* isa : available_kernels()) {
        CAPTURE(isa);
        const KernelTable& kernels = **find_kernels(isa);
        Weights weights(*file.gguf, kernels);
        const auto all = weights.add_matrix(file.tensor("blocks"), 0, 40),
                   part = weights.add_matrix(file.tensor("blocks"), 16, 7),
                   floats = weights.add_matrix(file.tensor("floats"), 0, 8),
                   vector = weights.add_vector(file.tensor("vector"), 4, 9),
                   rows = weights.add_rows(file.tensor("blocks"));
        for (const auto* ref : {&all, &part, &floats, &vector, &rows}) REQUIRE(*ref);
        const size_t planned = weights.n_bytes(), n_bytes = weights.matrix(*all).n_bytes;
        CHECK(weights.matrix(*part).n_rows == 7);
        CHECK(weights.matrix(*part).k == 64);
        CHECK(weights.vector(*vector) == nullptr);
        CHECK(weights.vector({}) == nullptr);
        CHECK(weights.quantizes());
        CHECK(weights.wants(file.tensor("vector")));
        REQUIRE(weights.load(**pool, {}, nullptr));
        CHECK(weights.n_bytes() == planned);
        CHECK(weights.matrix(*all).n_bytes == n_bytes);
        const auto x = normal(64, 9);
        struct Case {
            WeightRef ref;
            const std::vector<float>& values;
            int first, n;
        };
        for (const Case& c :
             {Case{*all, file.blocks, 0, 40}, Case{*part, file.blocks, 16, 7}, Case{*floats, file.floats, 0, 8}}) {
            const auto y = product(kernels, weights.matrix(c.ref), x);
            REQUIRE(y.size() == static_cast<size_t>(c.n));
            for (int r = 0; r < c.n; ++r) {
                double want = 0;
                for (size_t i = 0; i < 64; ++i)
                    want += double(c.values[static_cast<size_t>(c.first + r) * 64 + i]) * double(x[i]);
                CHECK(std::fabs(double(y[static_cast<size_t>(r)]) - want) < 0.25);  // activations of 8 bits
            }
        }
        for (size_t i = 0; i < 9; ++i) CHECK(weights.vector(*vector)[i] == file.vector[4 + i]);
        for (size_t i = 9; i < 16; ++i) CHECK(weights.vector(*vector)[i] == 0.0f);
        std::vector<float> row(64);
        decoder(DType::q8_0)(weights.rows(*rows).row(31), row.data(), 64);
        CHECK(std::equal(row.begin(), row.end(), file.blocks.begin() + 31 * 64));
    }
}

TEST_CASE("weights: a cancelled load leaves nothing, and the next one works") {
    const File file;
    auto pool = ThreadPool::make(2);
    REQUIRE(pool);
    const KernelTable& kernels = **find_kernels(available_kernels().front());
    Weights weights(*file.gguf, kernels);
    const auto matrix = weights.add_matrix(file.tensor("blocks"), 0, 40),
               vector = weights.add_vector(file.tensor("vector"), 0, 21);
    REQUIRE(matrix);
    REQUIRE(vector);
    const auto cancelled = weights.load(
        **pool, [](double) { return false; }, nullptr);
    REQUIRE(!cancelled);
    CHECK(cancelled.error().status() == Status::cancelled);
    CHECK(weights.vector(*vector) == nullptr);
    if (kernels.reads_packs) CHECK(weights.matrix(*matrix).data == nullptr);
    REQUIRE(weights.load(**pool, {}, nullptr));
    CHECK(weights.vector(*vector)[20] == file.vector[20]);
    CHECK(weights.matrix(*matrix).data != nullptr);
}

TEST_CASE("weights: what no kernel multiplies or no decoder knows is an error that names the tensor") {
    const File file;
    Weights weights(*file.gguf, **find_kernels("reference"));
    const auto vector = weights.add_vector(file.tensor("blocks"), 0, 64);
    REQUIRE(!vector);
    CHECK(vector.error().status() == Status::unsupported);
    CHECK(vector.error().object() == "blocks");
    CHECK(vector.error().message().find("expected F32, F16 or BF16, found Q8_0") != std::string::npos);
    CHECK(!weights.wants(file.tensor("blocks")));
}
