#include "graph/plan.hpp"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/checked.hpp"
#include "base/text.hpp"

namespace elver::graph {

std::vector<Lifetime> lifetimes(const Program& program) {
    std::vector<Lifetime> out(program.buffers.size());
    const int end = static_cast<int>(program.ops.size()) - 1;
    for (int i = 0; i <= end; ++i) {
        for (const Use& use : uses(program.ops[static_cast<size_t>(i)])) {
            Lifetime& l = out[static_cast<size_t>(use.buffer)];
            if (l.last < l.first) l.first = i;
            l.last = i;
        }
    }
    for (Lifetime& l : out) {
        if (l.first < program.head_begin && l.last >= program.head_begin) l.last = end;
    }
    for (const BufferId result : {program.logits, program.hidden}) {
        if (result != no_buffer) out[static_cast<size_t>(result)].last = end;
    }
    return out;
}

namespace {

// Memory in the order of its offsets, from which pieces are taken and to which they are given back.
class Free {
  public:
    // The smallest hole that is large enough, the lowest of equals; else the end grows.
    size_t take(size_t n_bytes) {
        auto best = holes_.end();
        for (auto hole = holes_.begin(); hole != holes_.end(); ++hole) {
            if (hole->second >= n_bytes && (best == holes_.end() || hole->second < best->second)) best = hole;
        }
        if (best == holes_.end()) {
            // A hole at the end counts towards what is wanted.
            size_t at = end_;
            if (!holes_.empty() && std::prev(holes_.end())->first + std::prev(holes_.end())->second == end_) {
                at = std::prev(holes_.end())->first;
                holes_.erase(at);
            }
            end_ = at + n_bytes;
            return at;
        }
        const auto [at, size] = *best;
        holes_.erase(best);
        if (size > n_bytes) holes_[at + n_bytes] = size - n_bytes;
        return at;
    }
    void give(size_t at, size_t n_bytes) {
        auto next = holes_.upper_bound(at);
        if (next != holes_.end() && at + n_bytes == next->first) {
            n_bytes += next->second;
            next = holes_.erase(next);
        }
        if (next != holes_.begin()) {
            const auto before = std::prev(next);
            if (before->first + before->second == at) {
                before->second += n_bytes;
                return;
            }
        }
        holes_[at] = n_bytes;
    }
    size_t end() const noexcept { return end_; }

  private:
    std::map<size_t, size_t> holes_;  // offset, size
    size_t end_ = 0;
};

}  // namespace

Placement place(std::span<const Lifetime> pieces) {
    Placement out;
    out.at.resize(pieces.size());
    // In the order of their beginnings, of equals those that live longest and then the largest first: what lives long
    // lies low, and what comes and goes shares the rest.
    std::vector<size_t> order;
    for (size_t i = 0; i < pieces.size(); ++i) {
        if (pieces[i].first <= pieces[i].last && pieces[i].n_bytes > 0) order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        const Lifetime &l = pieces[a], &r = pieces[b];
        if (l.first != r.first) return l.first < r.first;
        if (l.last != r.last) return l.last > r.last;
        return l.n_bytes > r.n_bytes;
    });
    Free memory;
    std::multimap<int, size_t> ends;  // last operation, piece
    for (const size_t i : order) {
        while (!ends.empty() && ends.begin()->first < pieces[i].first) {
            const size_t done = ends.begin()->second;
            memory.give(out.at[done], round_up(pieces[done].n_bytes, 64));
            ends.erase(ends.begin());
        }
        out.at[i] = memory.take(round_up(pieces[i].n_bytes, 64));
        ends.emplace(pieces[i].last, i);
    }
    out.n_bytes = memory.end();
    return out;
}

Result<void> check(const Program& program) {
    std::vector<bool> written(program.buffers.size(), false);
    for (size_t i = 0; i < program.ops.size(); ++i) {
        const Op& op = program.ops[i];
        const auto wrong = [&](BufferId buffer, std::string_view what) {
            const char* holds = buffer == no_buffer ? "none" : program.buffers[static_cast<size_t>(buffer)].holds;
            return Error(Status::internal,
                         cat("operation ", i, " (", describe(op), "): buffer ", buffer, " (", holds, "): ", what));
        };
        const std::vector<Use> all = uses(op);
        for (const Use& use : all) {
            if (use.buffer < 0 || use.buffer >= static_cast<int>(program.buffers.size()))
                return wrong(no_buffer, "there is no such buffer");
            if (static_cast<size_t>(use.width) > program.stride(use.buffer)) {
                return wrong(use.buffer, cat("expected ", use.width, " columns, found ",
                                             program.buffers[static_cast<size_t>(use.buffer)].width));
            }
            const auto rows = [&](BufferId id) { return program.buffers[static_cast<size_t>(id)].rows; };
            if (!std::holds_alternative<Select>(op) && rows(use.buffer) != rows(all.front().buffer))
                return wrong(use.buffer, "expected rows of one kind");
        }
        // An operation may read what another part of it writes.
        for (const Use& use : all) {
            if (use.how == Use::How::writes) written[static_cast<size_t>(use.buffer)] = true;
        }
        for (const Use& use : all) {
            if (!written[static_cast<size_t>(use.buffer)]) return wrong(use.buffer, "it is read before it is written");
        }
    }
    for (const BufferId result : {program.logits, program.hidden}) {
        if (result != no_buffer && !written[static_cast<size_t>(result)])
            return Error(Status::internal, cat("result ", result, ": nothing writes it"));
    }
    return {};
}

}  // namespace elver::graph
