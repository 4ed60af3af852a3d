#include "graph/router.hpp"

#include <cmath>

#include "base/text.hpp"

namespace elver {

Result<void> check(const RouterOptions& o) {
    struct Range {
        const char* field;
        int value, low, high;
    };
    const Range ranges[] = {
        {"router.n_experts", o.n_experts, 1, 4096},      {"router.top_k", o.top_k, 1, o.n_experts},
        {"router.n_groups", o.n_groups, 1, o.n_experts}, {"router.n_groups_used", o.n_groups_used, 1, o.n_groups},
        {"router.group_best", o.group_best, 1, 4096},
    };
    for (const Range& r : ranges) {
        if (r.value < r.low || r.value > r.high) {
            return Error(Status::invalid_argument,
                         cat(r.field, ": expected ", r.low, " to ", r.high, ", found ", r.value), r.field);
        }
    }
    if (o.n_experts % o.n_groups != 0) {
        return Error(Status::invalid_argument,
                     cat("router.n_groups: expected a divisor of n_experts ", o.n_experts, ", found ", o.n_groups),
                     "router.n_groups");
    }
    const int reachable = o.n_experts / o.n_groups * o.n_groups_used;
    if (o.top_k > reachable) {
        return Error(Status::invalid_argument,
                     cat("router.top_k: expected at most the ", reachable, " experts of ", o.n_groups_used,
                         " groups, found ", o.top_k),
                     "router.top_k");
    }
    if (!std::isfinite(o.scale) || !(o.least_sum > 0.0f)) {
        return Error(Status::invalid_argument,
                     cat("router.scale and router.least_sum: expected a finite number and one above 0, found ", o.scale,
                         " and ", o.least_sum),
                     "router.scale");
    }
    return {};
}

}  // namespace elver
