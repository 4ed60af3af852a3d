// The extension module elver._elver: the C ABI as Python objects, one method for one function. What is pleasant to use
// stands in the package's .py files over it.
#include <climits>

#include "common.hpp"

namespace elver::python {

namespace {

std::string kind_of(const py::object& given) {
    return given.is_none() ? "None" : py::str(py::type::of(given).attr("__name__"));
}

}  // namespace

Text::Text(const py::object& given, const char* name) {
    if (!py::isinstance<py::str>(given)) fail(std::string(name) + ": expected a text, found " + kind_of(given), name);
    data_ = PyUnicode_AsUTF8AndSize(given.ptr(), &size_);
    if (data_ == nullptr) {
        PyErr_Clear();
        fail(std::string(name) + ": expected a text, found half a character (a lone surrogate) in it", name);
    }
}

Source::Source(const py::object& given) {
    if (py::isinstance<py::bytes>(given)) {
        path_ = given.cast<std::string>();
        source_.path = path_.data();
        source_.path_size = path_.size();
    } else if (py::isinstance<py::tuple>(given)) {
        const auto [fd, position] = given.cast<std::pair<int, uint64_t>>();
        source_.fd = fd;
        source_.offset = position;
    } else {
        const Py_buffer* buffer = PyMemoryView_GET_BUFFER(given.ptr());
        source_.memory = buffer->buf;
        source_.memory_size = static_cast<size_t>(buffer->len);
        keeps_ = std::shared_ptr<void>(py::object(given).release().ptr(), [](void* object) {
            const py::gil_scoped_acquire locked;
            Py_DECREF(static_cast<PyObject*>(object));
        });
    }
}

Sink::Sink(const py::object& given) {
    if (py::isinstance<py::bytes>(given)) {
        path_ = given.cast<std::string>();
        sink_.path = path_.data();
        sink_.path_size = path_.size();
    } else {
        write_ = Callback(given);
        sink_.context = &write_;
        sink_.write = [](const void* bytes, size_t n_bytes, void* context) {
            return static_cast<Callback*>(context)->run([&](const py::object& write) -> py::object {
                return write(py::bytes(static_cast<const char*>(bytes), n_bytes));
            });
        };
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
    const bool is_text = py::isinstance<py::str>(given) || py::isinstance<py::bytes>(given) ||
                         PyByteArray_Check(given.ptr()) || PyMemoryView_Check(given.ptr());
    if (is_text || py::isinstance<py::dict>(given) || !py::isinstance<py::iterable>(given)) wrong(kind_of(given));
    const auto items = py::reinterpret_steal<py::object>(PySequence_Tuple(given.ptr()));
    if (!items) throw py::error_already_set();
    const Py_ssize_t n = PyTuple_GET_SIZE(items.ptr());
    array_ = py::array_t<int32_t, py::array::c_style>(n);
    for (Py_ssize_t i = 0; i < n; ++i) {
        PyObject* item = PyTuple_GET_ITEM(items.ptr(), i);
        const bool is_number = PyIndex_Check(item) != 0 && PyBool_Check(item) == 0;
        const long long id = is_number ? PyLong_AsLongLong(item) : LLONG_MAX;
        if (PyErr_Occurred() != nullptr) PyErr_Clear();
        if (id < INT32_MIN || id > INT32_MAX) {
            const py::object shown = py::module_::import("elver._errors").attr("shown")(py::handle(item));
            wrong(shown.cast<std::string>() + " at " + std::to_string(i));
        }
        array_.mutable_data()[i] = static_cast<int32_t>(id);
    }
}

Input::Input(const py::object& given, uint32_t flags) {
    if (py::isinstance<py::str>(given)) {
        text_.emplace(given, "input");
        input_.kind = ELVER_INPUT_TEXT;
        input_.flags = flags;
        input_.text = text_->data();
        input_.text_size = text_->size();
        return;
    }
    if (py::isinstance<py::array>(given)) {
        const auto array = py::reinterpret_borrow<py::array>(given);
        if (array.dtype().kind() == 'f' && array.ndim() == 2) {
            rows_ = decltype(rows_)::ensure(array);
            if (!rows_) throw py::error_already_set();
            input_.kind = ELVER_INPUT_EMBEDDINGS;
            input_.embeddings = rows_.data();
            input_.n_rows = static_cast<size_t>(rows_.shape(0));
            input_.width = static_cast<size_t>(rows_.shape(1));
            return;
        }
    }
    ids_.emplace(given, "input");
    input_.ids = ids_->data();
    input_.n_ids = ids_->size();
}

elver_session_options session_options(int n_ctx, int max_batch, int cache_type, int priority, int context_policy,
                                      int n_keep) {
    elver_session_options options = ELVER_SESSION_OPTIONS_INIT;
    options.n_ctx = n_ctx;
    options.max_batch = max_batch;
    options.cache_type = cache_type;
    options.priority = priority;
    options.context_policy = context_policy;
    options.n_keep = n_keep;
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

py::str render_template(const py::object& given, const py::object& json) {
    const Text source(given, "source"), variables(json, "variables");
    elver_text* out = nullptr;
    check([&](elver_error** e) {
        return elver_tokenizer_render(nullptr, source.data(), source.size(), variables.data(), variables.size(), &out,
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
    m.def(
        "ids",
        [](const py::object& given, const char* name) {
            const Ids ids(given, name);
            py::list out(ids.size());
            for (size_t i = 0; i < ids.size(); ++i) out[i] = ids.data()[i];
            return out;
        },
        py::arg("given"), py::arg("name"));
    m.def("version", [] { return elver_version(); });
    m.def("describe_machine", describe_machine);
    m.def("render_template", render_template, py::arg("source"), py::arg("variables"));
    bind_model(m);
    bind_session(m);
    bind_ops(m);
}

}  // namespace elver::python
