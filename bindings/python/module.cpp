// The extension module elver._elver: the C ABI as Python objects, one method for one function. What is pleasant to use
// stands in the package's .py files over it.
#include <climits>

#include "common.hpp"

namespace elver::python {

namespace {

bool is_path(const py::object& given) {
    return py::hasattr(given, "__fspath__") || py::isinstance<py::str>(given);
}

}  // namespace

std::string path_of(const py::object& given) {
    const auto path = py::reinterpret_steal<py::object>(PyOS_FSPath(given.ptr()));
    if (!path) throw py::error_already_set();
    PyObject* bytes = nullptr;
    if (PyUnicode_FSConverter(path.ptr(), &bytes) == 0) throw py::error_already_set();
    return std::string(py::reinterpret_steal<py::bytes>(bytes));
}

Source::Source(const py::object& given) {
    if (is_path(given)) {
        path_ = path_of(given);
        source_.path = path_.data();
        source_.path_size = path_.size();
    } else if (PyObject_CheckBuffer(given.ptr()) != 0) {
        // A memoryview holds the buffer, so that nobody resizes or closes what lies under it.
        const auto view = py::reinterpret_steal<py::object>(PyMemoryView_FromObject(given.ptr()));
        if (!view) throw py::error_already_set();
        const Py_buffer* buffer = PyMemoryView_GET_BUFFER(view.ptr());
        if (PyBuffer_IsContiguous(buffer, 'C') == 0) fail("source: expected a contiguous buffer", "source");
        source_.memory = buffer->buf;
        source_.memory_size = static_cast<size_t>(buffer->len);
        keeps_ = std::shared_ptr<void>(py::object(view).release().ptr(), [](void* object) {
            const py::gil_scoped_acquire locked;
            Py_DECREF(static_cast<PyObject*>(object));
        });
    } else if (py::hasattr(given, "fileno")) {
        source_.fd = given.attr("fileno")().cast<int>();
    } else {
        fail("source: expected a path, a file or bytes, found " + std::string(py::str(py::type::of(given))), "source");
    }
}

Sink::Sink(const py::object& given) {
    if (is_path(given)) {
        path_ = path_of(given);
        sink_.path = path_.data();
        sink_.path_size = path_.size();
    } else if (py::hasattr(given, "write")) {
        write_ = Callback(given.attr("write"));
        sink_.context = &write_;
        sink_.write = [](const void* bytes, size_t n_bytes, void* context) {
            return static_cast<Callback*>(context)->run([&](const py::object& write) -> py::object {
                return write(py::bytes(static_cast<const char*>(bytes), n_bytes));
            });
        };
    } else {
        fail("sink: expected a path or a file, found " + std::string(py::str(py::type::of(given))), "sink");
    }
}

Ids::Ids(const py::object& given, const char* name) {
    const auto wrong = [&](const std::string& found) {
        fail(std::string(name) + ": expected a sequence of integers of 32 bits, found " + found, name);
    };
    if (py::isinstance<py::array>(given)) {
        const auto array = py::reinterpret_borrow<py::array>(given);
        if (array.ndim() != 1) wrong("an array of " + std::to_string(array.ndim()) + " dimensions");
        if (array.dtype().kind() != 'i' && array.dtype().kind() != 'u')
            wrong("an array of " + std::string(py::str(array.dtype())));
        if (py::isinstance<py::array_t<int32_t>>(array)) {
            array_ = array;  // copies only a strided one
            return;
        }
    }
    const auto sequence = py::reinterpret_steal<py::object>(PySequence_Fast(given.ptr(), ""));
    if (!sequence) {
        PyErr_Clear();
        wrong(std::string(py::str(py::type::of(given))));
    }
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(sequence.ptr());
    array_ = py::array_t<int32_t, py::array::c_style>(n);
    for (Py_ssize_t i = 0; i < n; ++i) {
        PyObject* item = PySequence_Fast_GET_ITEM(sequence.ptr(), i);
        const long long id = PyIndex_Check(item) != 0 ? PyLong_AsLongLong(item) : LLONG_MAX;
        if (PyErr_Occurred() != nullptr) PyErr_Clear();
        if (id < INT32_MIN || id > INT32_MAX) wrong(std::string(py::repr(item)) + " at " + std::to_string(i));
        array_.mutable_data()[i] = static_cast<int32_t>(id);
    }
}

elver_session_options session_options(int n_ctx, int max_batch, int cache_type) {
    elver_session_options options = ELVER_SESSION_OPTIONS_INIT;
    options.n_ctx = n_ctx;
    options.max_batch = max_batch;
    options.cache_type = cache_type;
    return options;
}

namespace {

// Raises the class of the status, from the package's table of them.
void raise(const Failure& f) {
    const py::object make = py::module_::import("elver._errors").attr("make");
    const py::object error = make(static_cast<int>(f.status), f.message, f.object);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
}

py::str describe_machine() {
    elver_text* out = nullptr;
    check([&](elver_error** e) { return elver_machine_describe(&out, e); });
    return take(out);
}

py::str render_template(const std::string& source, const std::string& variables) {
    elver_text* out = nullptr;
    check([&](elver_error** e) {
        return elver_template_render(nullptr, source.data(), source.size(), variables.data(), variables.size(), &out,
                                     e);
    });
    return take(out);
}

}  // namespace

PYBIND11_MODULE(_elver, m, py::mod_gil_not_used()) {
    py::register_local_exception_translator([](std::exception_ptr thrown) {
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (const Failure& f) {
            raise(f);
        }
    });
    m.def("version", [] { return elver_version(); });
    m.def("describe_machine", describe_machine);
    m.def("render_template", render_template, py::arg("source"), py::arg("variables"));
    bind_model(m);
    bind_session(m);
    bind_ops(m);
}

}  // namespace elver::python
