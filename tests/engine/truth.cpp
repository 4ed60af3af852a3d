#include <cstdlib>

#include "script.hpp"

namespace elver::test {

namespace {

// Of a text one token longer (the finaliser of SplitMix64).
uint64_t extended(uint64_t hash, int32_t id) noexcept {
    hash += 0x9e3779b97f4a7c15u + static_cast<uint64_t>(id);
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
    return hash ^ hash >> 31;
}

// The truth is computed from ids that are known to be good, in memory that is there.
void need(bool holds) {
    if (!holds) std::abort();
}

}  // namespace

Truth::Truth(const Setting& setting, int longest) : setting_(setting), options_(setting.options) {
    options_.n_ctx = options_.max_batch = longest;
}

std::unique_ptr<Session> Truth::fresh() const {
    auto session = Session::make(setting_.open({.n_threads = 1}), options_);
    need(bool(session));
    return *std::move(session);
}

void Truth::compute(std::span<const int32_t> ids) {
    const auto continues = [&] {
        const auto past = session_->ids();
        return past.size() < ids.size() && std::equal(past.begin(), past.end(), ids.begin());
    };
    if (session_ == nullptr || !continues()) session_ = fresh();
    uint64_t hash = 0;
    const auto past = session_->ids();
    for (const int32_t id : past) hash = extended(hash, id);
    const auto more = ids.subspan(past.size());
    need(bool(session_->prefill(more, [&](size_t i, std::span<const float> row) {
        hash = extended(hash, more[i]);
        known_[hash].assign(row.begin(), row.end());
    })));
}

std::vector<float> Truth::rows(std::span<const int32_t> ids, size_t from) {
    std::vector<float> out;
    uint64_t hash = 0;
    for (size_t i = 0; i < ids.size(); ++i) {
        hash = extended(hash, ids[i]);
        if (i < from) continue;
        auto it = known_.find(hash);
        if (it == known_.end()) {
            compute(ids);
            it = known_.find(hash);
            need(it != known_.end());
        }
        out.insert(out.end(), it->second.begin(), it->second.end());
    }
    return out;
}

std::vector<float> Truth::embedding(std::span<const int32_t> ids) const {
    auto found = fresh()->embed(ids);
    need(bool(found));
    return *std::move(found);
}

}  // namespace elver::test
