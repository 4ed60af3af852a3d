#pragma once

#include <utility>
#include <vector>

#include "graph/program.hpp"
#include "weights/weights.hpp"

namespace elver {

// A program while it is built, and the buffers that all layers know.
struct ProgramParts {
    const Weights& weights;
    graph::Program program;
    graph::BufferId x = graph::no_buffer;             // the residual stream
    std::vector<graph::BufferId> rope;                // of each rope table
    graph::BufferId first_values = graph::no_buffer;  // RWKV-7's values of its first layer

    graph::BufferId add_buffer(const char* holds, int width) { return program.add_buffer(holds, width); }
    template <class Op>
    void add(Op op) {
        program.ops.emplace_back(std::move(op));
    }
    graph::Matrix matrix(WeightRef ref) const;
    graph::Product product(WeightRef matrix, WeightRef bias, graph::View out, Finish finish = Finish::store,
                           float scale = 1.0f) const;
};

}  // namespace elver
