#include "tools/measure.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>

#include "base/cpu.hpp"
#include "base/json.hpp"
#include "base/utf8.hpp"
#include "kernels/select.hpp"

namespace elver {

namespace {

template <class Work>
double seconds(ThreadPool& pool, const Work& work) {
    const auto start = std::chrono::steady_clock::now();
    pool.run(work);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Json element(const GgufValue& value, size_t i) {
    if (value.element_type() == GgufType::string) return replace_invalid_utf8(value.string_element(i));
    if (const auto n = value.int_element(i)) return *n;
    return value.float_element(i).value_or(0);
}

Json to_json(const GgufValue& value) {
    if (const auto text = value.as_string()) return replace_invalid_utf8(*text);
    if (const auto flag = value.as_bool()) return *flag;
    if (const auto number = value.as_int()) return *number;
    if (const auto number = value.as_float()) return *number;
    constexpr size_t shown = 8;
    Json out = Json::array();
    for (size_t i = 0; i < std::min(shown, value.size()); ++i) out.push_back(element(value, i));
    if (value.size() > shown) out.push_back("... " + std::to_string(value.size()) + " in all");
    return out;
}

std::string describe(const char* isa, std::optional<int> n_threads) {
    Json out;
    out["processor"] = cpu_name();
    out["usable_cores"] = usable_cores();
    if (n_threads) out["threads"] = *n_threads;
    out["isa"] = isa;
    out["available_isas"] = available_kernels();
    return out.dump(2);
}

}  // namespace

Result<Machine> measure_machine(const Model& model) {
    const KernelTable& kernels = model.kernels();
    ThreadPool& pool = model.pool();
    Machine out;
    if (auto free = model.check_free(); !free) return std::move(free).error();
    if (kernels.peak_dots == nullptr) return out;
    constexpr size_t n_bytes = size_t{256} << 20;
    auto buffer = AlignedBuffer::make(n_bytes, "the bandwidth measurement");
    if (!buffer) return std::move(buffer).error();
    std::memset(buffer->data(), 1, n_bytes);
    const auto n_threads = static_cast<size_t>(pool.n_threads());
    std::vector<int32_t> sinks(n_threads * 16);
    const auto* bytes = reinterpret_cast<const uint8_t*>(buffer->data());
    const ThreadPool::Turn turn(pool);
    for (int round = 0; round < 5; ++round) {
        constexpr uint64_t steps = 8'000'000;  // about 20 ms: waking the threads does not count
        std::atomic<uint64_t> n_ops{0};
        const double dots =
            seconds(pool, [&](int w) { n_ops += kernels.peak_dots(steps, &sinks[static_cast<size_t>(w) * 16]); });
        out.dot_ops_per_s = std::max(out.dot_ops_per_s, static_cast<double>(n_ops.load()) / dots);
        const size_t part = n_bytes / n_threads;
        const double read = seconds(pool, [&](int w) {
            kernels.peak_read(bytes + static_cast<size_t>(w) * part, part, &sinks[static_cast<size_t>(w) * 16]);
        });
        out.read_bytes_per_s = std::max(out.read_bytes_per_s, static_cast<double>(part * n_threads) / read);
    }
    return out;
}

Result<std::string> describe_machine() {
    const auto kernels = select_kernels();
    if (!kernels) return kernels.error();
    return describe((*kernels)->name, std::nullopt);
}

std::string describe_machine(const Model& model) {
    return describe(model.kernels().name, model.pool().n_threads());
}

std::string describe_metadata(const Gguf& file) {
    Json::Object out;  // the keys of a file are unique: none is looked up
    for (const auto& [key, value] : file.metadata()) out.emplace_back(std::string(key), to_json(value));
    return Json(std::move(out)).dump(2);
}

std::string describe_tensors(const Gguf& file) {
    Json out = Json::array();
    for (const GgufTensor& t : file.tensors()) {
        const auto dims = t.view.shape.dims();
        out.push_back(Json::object({{"name", replace_invalid_utf8(t.name)},
                                    {"type", dtype_name(t.view.type)},
                                    {"shape", std::vector<int64_t>(dims.begin(), dims.end())},
                                    {"bytes", t.view.bytes.size()}}));
    }
    return out.dump(2);
}

}  // namespace elver
