// The programs of all tiny models: whole, and placed so that no operation finds its buffers overwritten.
#include <doctest/doctest.h>

#include <algorithm>

#include "graph/plan.hpp"
#include "message_of.hpp"
#include "tiny_models.hpp"

using namespace elver;

namespace {

std::vector<fs::path> all_models() {
    std::vector<fs::path> out = tiny_models();
    for (const auto& entry : fs::directory_iterator(std::string(ELVER_TEST_DATA) + "/golden/encoders")) {
        if (entry.path().extension() == ".gguf") out.push_back(entry.path());
    }
    return out;
}

}  // namespace

TEST_CASE("programs: what is read was written, columns are there, and memory in use at once never overlaps") {
    int n = 0;
    for (const fs::path& path : all_models()) {
        CAPTURE(path.filename().string());
        const auto model = open_tiny(path, "");
        if (!model) continue;
        const graph::Program& program = (*model)->program();
        const auto whole = graph::check(program);
        CHECK_MESSAGE(whole, elver::test::message_of(whole));
        constexpr int max_rows = 24, max_outputs = 8;
        const cpu::Scratch s = (*model)->executor().plan_scratch(max_rows, max_outputs, 64);
        const auto all = graph::lifetimes(program);
        size_t apart = 0;  // bytes if no memory were shared
        struct Piece {
            int first, last;
            size_t at, n_bytes;
        };
        std::vector<Piece> pieces;
        for (size_t b = 0; b < all.size(); ++b) {
            const bool outputs = program.buffers[b].rows == graph::Buffer::Rows::outputs;
            const size_t n_bytes =
                (outputs ? max_outputs : max_rows) * program.stride(static_cast<int>(b)) * sizeof(float);
            pieces.push_back({all[b].first, all[b].last, s.buffer_at[b], n_bytes});
            apart += n_bytes;
        }
        for (size_t i = 0; i < program.ops.size(); ++i)
            pieces.push_back({static_cast<int>(i), static_cast<int>(i), s.shared_at[i], s.shared_bytes[i]});
        int n_overlaps = 0;
        for (size_t i = 0; i < pieces.size(); ++i) {
            if (pieces[i].n_bytes > 0 && pieces[i].first <= pieces[i].last)
                CHECK(pieces[i].at + pieces[i].n_bytes <= s.worker_at);
            for (size_t j = 0; j < i; ++j) {
                const Piece &a = pieces[i], &b = pieces[j];
                if (std::max(a.first, b.first) > std::min(a.last, b.last)) continue;
                n_overlaps += std::max(a.at, b.at) < std::min(a.at + a.n_bytes, b.at + b.n_bytes);
            }
        }
        CHECK(n_overlaps == 0);
        if ((*model)->spec().n_layers > 2) CHECK(s.worker_at < apart);
        ++n;
    }
    CHECK(n >= 66);
}
