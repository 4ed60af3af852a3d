#include "base/result.hpp"

namespace elver {

const char* status_name(Status status) noexcept {
    switch (status) {
        case Status::ok:
            return "ok";
        case Status::invalid_argument:
            return "invalid argument";
        case Status::not_found:
            return "not found";
        case Status::io:
            return "input/output error";
        case Status::bad_file:
            return "bad file";
        case Status::unsupported:
            return "unsupported";
        case Status::over_budget:
            return "over budget";
        case Status::out_of_memory:
            return "out of memory";
        case Status::cancelled:
            return "cancelled";
        case Status::context_full:
            return "context full";
        case Status::mismatch:
            return "mismatch";
        case Status::busy:
            return "busy";
        case Status::internal:
            return "internal error";
    }
    return "unknown status";
}

}  // namespace elver
