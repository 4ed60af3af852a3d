// Low-level operations over NumPy arrays, which are read and written where they lie: float32, rows contiguous, rows any
// distance apart. What would need a copy is an error.
#include <elver/elver_ops.h>

#include <optional>
#include <vector>

#include "common.hpp"

namespace elver::python {

namespace {

std::string shape_of(const py::array& array) {
    std::string out = "[";
    for (py::ssize_t i = 0; i < array.ndim(); ++i) out += (i == 0 ? "" : ", ") + std::to_string(array.shape(i));
    return out + "]";
}

// An array of rows [n, width], or [n, heads, head_dim] with a row's heads contiguous.
struct Rows {
    const float* data = nullptr;
    int64_t n = 0, stride = 0;
    std::vector<int64_t> shape;  // of a row

    int64_t width() const {
        int64_t out = 1;
        for (const int64_t d : shape) out *= d;
        return out;
    }
    float* out() const { return const_cast<float*>(data); }  // of an array that was writeable
    // One past its last float.
    const float* end() const { return n == 0 ? data : data + (n - 1) * stride + width(); }
};

Rows rows_of(const py::object& given, const char* name, py::ssize_t ndim, bool written = false) {
    const std::string what =
        std::string(name) + ": expected a NumPy array of float32 of " + std::to_string(ndim) + " dimensions";
    if (!py::isinstance<py::array>(given)) fail(what + ", found " + std::string(py::str(py::type::of(given))), name);
    const auto array = py::reinterpret_borrow<py::array>(given);
    if (!py::isinstance<py::array_t<float>>(array))
        fail(what + ", found one of " + std::string(py::str(array.dtype())), name);
    if (array.ndim() != ndim) fail(what + ", found one of shape " + shape_of(array), name);
    if (written && !array.writeable()) fail(std::string(name) + ": expected an array that may be written", name);
    Rows rows{static_cast<const float*>(array.data()), array.shape(0), 0, {}};
    py::ssize_t item = sizeof(float);
    for (py::ssize_t i = ndim - 1; i > 0; --i) {
        rows.shape.insert(rows.shape.begin(), array.shape(i));
        if (array.strides(i) != item && array.shape(i) > 1 && array.size() > 0)
            fail(std::string(name) + ": expected contiguous rows, found strides of " +
                     std::to_string(array.strides(i)) + " bytes in dimension " + std::to_string(i),
                 name);
        item *= array.shape(i);
    }
    rows.stride = rows.width();
    if (rows.n > 1) {
        const py::ssize_t stride = array.strides(0);
        if (stride < item || stride % static_cast<py::ssize_t>(sizeof(float)) != 0)
            fail(std::string(name) + ": expected rows at least " + std::to_string(item) +
                     " bytes apart and a multiple of 4, found " + std::to_string(stride),
                 name);
        rows.stride = stride / static_cast<py::ssize_t>(sizeof(float));
    }
    if (reinterpret_cast<uintptr_t>(rows.data) % alignof(float) != 0)
        fail(std::string(name) + ": expected an array aligned to 4 bytes", name);
    return rows;
}

void need_shape(const Rows& rows, const char* name, std::vector<int64_t> shape) {
    std::vector<int64_t> found = rows.shape;
    found.insert(found.begin(), rows.n);
    if (found == shape) return;
    const auto text = [](const std::vector<int64_t>& dims) {
        std::string out;
        for (const int64_t d : dims) out += (out.empty() ? "[" : ", ") + std::to_string(d);
        return out + "]";
    };
    fail(std::string(name) + ": expected shape " + text(shape) + ", found " + text(found), name);
}

// The array that is given to be written, checked, or a new one.
struct Out {
    Out(const py::object& given, const std::vector<py::ssize_t>& shape) {
        array = given.is_none() ? made(shape) : given;
        rows = rows_of(array, "out", static_cast<py::ssize_t>(shape.size()), true);
        need_shape(rows, "out", {shape.begin(), shape.end()});
    }
    static py::object made(const std::vector<py::ssize_t>& shape) {
        try {
            return py::array_t<float>(shape);
        } catch (const py::error_already_set&) {  // NumPy's own, of sizes beyond any memory
            throw Failure{ELVER_OUT_OF_MEMORY, "out: an array so large cannot be had", "out"};
        }
    }
    void apart_from(const Rows& read) const {
        if (rows.data < read.end() && read.data < rows.end())
            fail("out: expected an array apart from what is read", "out");
    }
    py::object array;
    Rows rows;
};

// [n] floats, contiguous, or none.
const float* vector_of(const py::object& given, const char* name, int64_t n) {
    if (given.is_none()) return nullptr;
    const Rows rows = rows_of(given, name, 1);
    need_shape(rows, name, {n});
    if (rows.n > 1 && rows.stride != 1) fail(std::string(name) + ": expected a contiguous array", name);
    return rows.data;
}

struct Bytes {
    explicit Bytes(const py::object& given) {
        if (PyObject_CheckBuffer(given.ptr()) == 0)
            fail("rows: expected bytes or an array of uint8, found " + std::string(py::str(py::type::of(given))),
                 "rows");
        if (PyObject_GetBuffer(given.ptr(), &view, PyBUF_SIMPLE) != 0) {
            PyErr_Clear();
            fail("rows: expected a contiguous buffer", "rows");
        }
    }
    ~Bytes() { PyBuffer_Release(&view); }
    Bytes(const Bytes&) = delete;
    Bytes& operator=(const Bytes&) = delete;
    Py_buffer view;
};

struct Matrix {
    Owned<elver_matrix, elver_matrix_release> handle{"matrix"};
};

struct Attention {
    elver_attention_options c = ELVER_ATTENTION_OPTIONS_INIT;
    Attention(int n_heads, int n_kv_heads, int head_dim, int v_head_dim, bool causal, int window, float scale,
              float soft_cap, const py::object& alibi_slopes, const py::object& sinks) {
        c.n_heads = n_heads;
        c.n_kv_heads = n_kv_heads;
        c.head_dim = head_dim;
        c.v_head_dim = v_head_dim;
        c.causal = causal ? 1 : 0;
        c.window = window;
        c.scale = scale;
        c.soft_cap = soft_cap;
        c.alibi_slopes = vector_of(alibi_slopes, "alibi_slopes", n_heads);
        c.sinks = vector_of(sinks, "sinks", n_heads);
        kept_alibi_slopes = alibi_slopes;
        kept_sinks = sinks;
    }
    py::object kept_alibi_slopes, kept_sinks;
};

struct Cache {
    Owned<elver_cache, elver_cache_release> handle{"cache"};
    int64_t n_heads = 0, n_kv_heads = 0, head_dim = 0, v_head_dim = 0;

    void append(const py::object& keys, const py::object& values) const {
        const auto cache = handle.get();
        const Rows k = rows_of(keys, "k", 3), v = rows_of(values, "v", 3);
        need_shape(k, "k", {k.n, n_kv_heads, head_dim});
        need_shape(v, "v", {k.n, n_kv_heads, v_head_dim});
        check([&](elver_error** e) {
            return elver_cache_append(cache.get(), k.data, k.stride, v.data, v.stride, k.n, e);
        });
    }
    py::object attend(const py::object& queries, const py::object& given) const {
        const auto cache = handle.get();
        const Rows q = rows_of(queries, "q", 3);
        need_shape(q, "q", {q.n, n_heads, head_dim});
        const Out out(given, {q.n, n_heads, v_head_dim});
        out.apart_from(q);
        check([&](elver_error** e) {
            return elver_cache_attend(cache.get(), q.data, q.stride, q.n, out.rows.out(), out.rows.stride, e);
        });
        return out.array;
    }
    void rewind(int64_t position) const {
        const auto cache = handle.get();
        check([&](elver_error** e) { return elver_cache_rewind(cache.get(), position, e); });
    }
};

class Ops {
  public:
    Ops(int n_threads, const Threads* threads) {
        const std::shared_ptr<elver_threads> shared = threads == nullptr ? nullptr : threads->handle.get();
        elver_ops_options options = ELVER_OPS_OPTIONS_INIT;
        options.n_threads = n_threads;
        options.threads = shared.get();
        elver_ops* out = nullptr;
        check([&](elver_error** e) { return elver_ops_open(&options, &out, e); });
        handle.reset(out);
    }
    py::object quantize(int dtype, const py::object& given_x) const {
        const auto ops = handle.get();
        const Rows x = rows_of(given_x, "x", 2);
        const auto type = static_cast<elver_dtype>(dtype);
        size_t n_bytes = 0;
        check([&](elver_error** e) { return elver_dtype_row_bytes(type, x.shape[0], &n_bytes, e); });
        py::array_t<uint8_t> rows({x.n, static_cast<int64_t>(n_bytes)});
        uint8_t* out = rows.mutable_data();
        check([&](elver_error** e) {
            return elver_ops_quantize(ops.get(), type, x.data, x.n, x.shape[0], x.stride, out,
                                      static_cast<size_t>(rows.size()), e);
        });
        return rows;
    }
    py::object dequantize(int dtype, const py::object& rows, int64_t n_rows, int64_t k, const py::object& given) const {
        const auto ops = handle.get();
        const Bytes bytes(rows);
        const Out out(given, {n_rows, k});
        check([&](elver_error** e) {
            return elver_ops_dequantize(ops.get(), static_cast<elver_dtype>(dtype), bytes.view.buf,
                                        static_cast<size_t>(bytes.view.len), n_rows, k, out.rows.out(), out.rows.stride,
                                        e);
        });
        return out.array;
    }
    std::unique_ptr<Matrix> pack(int dtype, const py::object& rows, int64_t n_rows, int64_t k) const {
        const auto ops = handle.get();
        const Bytes bytes(rows);
        elver_matrix* out = nullptr;
        check([&](elver_error** e) {
            return elver_matrix_pack(ops.get(), static_cast<elver_dtype>(dtype), bytes.view.buf,
                                     static_cast<size_t>(bytes.view.len), n_rows, k, &out, e);
        });
        auto matrix = std::make_unique<Matrix>();
        matrix->handle.reset(out, ops);
        return matrix;
    }
    py::object matmul(const Matrix& m, const py::object& given_x, const py::object& bias,
                      const py::object& given) const {
        const auto ops = handle.get();
        const auto matrix = m.handle.get();
        const int64_t n_rows = elver_matrix_rows(matrix.get());
        const Rows x = rows_of(given_x, "x", 2);
        need_shape(x, "x", {x.n, elver_matrix_columns(matrix.get())});
        const Out out(given, {x.n, n_rows});
        out.apart_from(x);
        const float* b = vector_of(bias, "bias", n_rows);
        check([&](elver_error** e) {
            return elver_ops_matmul(ops.get(), matrix.get(), x.data, x.n, x.stride, b, out.rows.out(), out.rows.stride,
                                    e);
        });
        return out.array;
    }
    py::object matmul_experts(const py::list& matrices, const py::object& given_ids, const py::object& given_x,
                              const py::object& given_weights, const py::object& given) const {
        const auto ops = handle.get();
        std::vector<std::shared_ptr<elver_matrix>> shares;
        std::vector<const elver_matrix*> pointers;
        for (const py::handle m : matrices) {
            if (!py::isinstance<Matrix>(m))
                fail("matrices: expected matrices, found " + std::string(py::repr(m)), "matrices");
            shares.push_back(m.cast<const Matrix&>().handle.get());
            pointers.push_back(shares.back().get());
        }
        if (pointers.empty()) fail("matrices: expected at least one", "matrices");
        if (!py::isinstance<py::array_t<int32_t, py::array::c_style>>(given_ids))
            fail("ids: expected a contiguous array of int32", "ids");
        const auto ids = py::reinterpret_borrow<py::array>(given_ids);
        if (ids.ndim() != 2) fail("ids: expected shape [n, top_k], found " + shape_of(ids), "ids");
        const Rows x = rows_of(given_x, "x", 2);
        const int64_t n = ids.shape(0), top_k = ids.shape(1), n_rows = elver_matrix_rows(pointers[0]);
        need_shape(x, "x", {x.n, elver_matrix_columns(pointers[0])});
        elver_experts experts = ELVER_EXPERTS_INIT;
        experts.matrices = pointers.data();
        experts.n_experts = static_cast<int64_t>(pointers.size());
        experts.ids = static_cast<const int32_t*>(ids.data());
        experts.n = n;
        experts.top_k = top_k;
        if (!given_weights.is_none()) {
            const Rows weights = rows_of(given_weights, "weights", 2);
            need_shape(weights, "weights", {n, top_k});
            if (weights.n > 1 && weights.stride != top_k) fail("weights: expected a contiguous array", "weights");
            experts.weights = weights.data;
        }
        const Out out(given, {experts.weights == nullptr ? n * top_k : n, n_rows});
        out.apart_from(x);
        check([&](elver_error** e) {
            return elver_ops_matmul_experts(ops.get(), &experts, x.data, x.n, x.stride, out.rows.out(), out.rows.stride,
                                            e);
        });
        return out.array;
    }
    py::object attention(const py::object& queries, const py::object& keys, const py::object& values, bool causal,
                         int window, float scale, float soft_cap, const py::object& alibi_slopes,
                         const py::object& sinks, const py::object& given) const {
        const auto ops = handle.get();
        const Rows q = rows_of(queries, "q", 3), k = rows_of(keys, "k", 3), v = rows_of(values, "v", 3);
        need_shape(q, "q", {q.n, q.shape[0], k.shape[1]});
        need_shape(v, "v", {k.n, k.shape[0], v.shape[1]});
        const auto small = [](int64_t d) { return static_cast<int>(d < INT32_MAX ? d : INT32_MAX); };
        const Attention options(small(q.shape[0]), small(k.shape[0]), small(k.shape[1]), small(v.shape[1]), causal,
                                window, scale, soft_cap, alibi_slopes, sinks);
        const Out out(given, {q.n, q.shape[0], v.shape[1]});
        for (const Rows* read : {&q, &k, &v}) out.apart_from(*read);
        check([&](elver_error** e) {
            return elver_ops_attention(ops.get(), &options.c, q.data, q.n, q.stride, k.data, k.stride, v.data, v.stride,
                                       k.n, out.rows.out(), out.rows.stride, e);
        });
        return out.array;
    }
    std::unique_ptr<Cache> cache(const Attention& options, int64_t n_ctx, int64_t max_batch, int type) const {
        const auto ops = handle.get();
        elver_cache* out = nullptr;
        check([&](elver_error** e) {
            return elver_cache_open(ops.get(), &options.c, n_ctx, max_batch, static_cast<elver_cache_type>(type), &out,
                                    e);
        });
        auto cache = std::make_unique<Cache>();
        cache->handle.reset(out, ops);
        cache->n_heads = options.c.n_heads;
        cache->n_kv_heads = options.c.n_kv_heads;
        cache->head_dim = options.c.head_dim;
        cache->v_head_dim = options.c.v_head_dim == 0 ? options.c.head_dim : options.c.v_head_dim;
        return cache;
    }

    Owned<elver_ops, elver_ops_release> handle{"ops"};
};

py::tuple route(const py::object& given, int score, int top_k, bool renormalise, int n_groups, int n_groups_used,
                float scale, const py::object& choice_bias) {
    const Rows logits = rows_of(given, "logits", 2);
    const int64_t n_experts = logits.shape[0];
    elver_router_options options = ELVER_ROUTER_OPTIONS_INIT;
    options.score = score;
    options.n_experts = static_cast<int>(n_experts < INT32_MAX ? n_experts : INT32_MAX);
    options.top_k = top_k;
    options.renormalise = renormalise ? 1 : 0;
    options.n_groups = n_groups;
    options.n_groups_used = n_groups_used;
    options.scale = scale;
    options.choice_bias = vector_of(choice_bias, "choice_bias", n_experts);
    if (top_k < 1 || top_k > n_experts)
        fail("top_k: expected 1 to " + std::to_string(n_experts) + ", found " + std::to_string(top_k), "top_k");
    py::array_t<int32_t> ids({logits.n, static_cast<int64_t>(top_k)});
    py::array_t<float> weights({logits.n, static_cast<int64_t>(top_k)});
    int32_t* ids_out = ids.mutable_data();
    float* weights_out = weights.mutable_data();
    check([&](elver_error** e) {
        return elver_ops_route(&options, logits.data, logits.n, logits.stride, ids_out, weights_out, e);
    });
    return py::make_tuple(ids, weights);
}

size_t row_bytes(int dtype, int64_t k) {
    size_t n = 0;
    check([&](elver_error** e) { return elver_dtype_row_bytes(static_cast<elver_dtype>(dtype), k, &n, e); });
    return n;
}

}  // namespace

void bind_ops(py::module_& m) {
    m.def("row_bytes", &row_bytes, py::arg("dtype"), py::arg("k"));
    m.def("route", &route, py::arg("logits"), py::arg("score"), py::arg("top_k"), py::arg("renormalise"),
          py::arg("n_groups"), py::arg("n_groups_used"), py::arg("scale"), py::arg("choice_bias"));
    py::class_<Matrix>(m, "Matrix")
        .def("rows", [](const Matrix& self) { return elver_matrix_rows(self.handle.get().get()); })
        .def("columns", [](const Matrix& self) { return elver_matrix_columns(self.handle.get().get()); })
        .def("bytes", [](const Matrix& self) { return elver_matrix_bytes(self.handle.get().get()); })
        .def("close", [](Matrix& self) { self.handle.close(); })
        .def("closed", [](const Matrix& self) { return self.handle.closed(); });
    py::class_<Cache>(m, "Cache")
        .def("append", &Cache::append, py::arg("k"), py::arg("v"))
        .def("attend", &Cache::attend, py::arg("q"), py::arg("out"))
        .def("rewind", &Cache::rewind, py::arg("position"))
        .def("position", [](const Cache& self) { return elver_cache_position(self.handle.get().get()); })
        .def("bytes", [](const Cache& self) { return elver_cache_bytes(self.handle.get().get()); })
        .def("close", [](Cache& self) { self.handle.close(); })
        .def("closed", [](const Cache& self) { return self.handle.closed(); });
    py::class_<Attention>(m, "Attention")
        .def(py::init<int, int, int, int, bool, int, float, float, const py::object&, const py::object&>(),
             py::arg("n_heads"), py::arg("n_kv_heads"), py::arg("head_dim"), py::arg("v_head_dim"), py::arg("causal"),
             py::arg("window"), py::arg("scale"), py::arg("soft_cap"), py::arg("alibi_slopes"), py::arg("sinks"));
    py::class_<Ops>(m, "Ops")
        .def(py::init<int, const Threads*>(), py::arg("n_threads"), py::arg("threads"))
        .def("quantize", &Ops::quantize, py::arg("dtype"), py::arg("x"))
        .def("dequantize", &Ops::dequantize, py::arg("dtype"), py::arg("rows"), py::arg("n_rows"), py::arg("k"),
             py::arg("out"))
        .def("pack", &Ops::pack, py::arg("dtype"), py::arg("rows"), py::arg("n_rows"), py::arg("k"))
        .def("matmul", &Ops::matmul, py::arg("matrix"), py::arg("x"), py::arg("bias"), py::arg("out"))
        .def("matmul_experts", &Ops::matmul_experts, py::arg("matrices"), py::arg("ids"), py::arg("x"),
             py::arg("weights"), py::arg("out"))
        .def("attention", &Ops::attention, py::arg("q"), py::arg("k"), py::arg("v"), py::arg("causal"),
             py::arg("window"), py::arg("scale"), py::arg("soft_cap"), py::arg("alibi_slopes"), py::arg("sinks"),
             py::arg("out"))
        .def("cache", &Ops::cache, py::arg("options"), py::arg("n_ctx"), py::arg("max_batch"), py::arg("type"))
        .def("close", [](Ops& self) { self.handle.close(); })
        .def("closed", [](const Ops& self) { return self.handle.closed(); });
}

}  // namespace elver::python
