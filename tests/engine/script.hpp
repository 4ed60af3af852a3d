// Random scripts over texts, and what each step must leave behind: the ids that the steps so far say, and the logits
// that a session which was given those ids, once and in order, has after them.
#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "door.hpp"
#include "engine/session.hpp"

namespace elver::test {

enum class Op : uint8_t {
    open,
    prefill,
    together,
    rewind,
    complete,
    generate,
    speculate,
    slide,
    embed,
    save,
    restore,
    fork,
    wrong,
    count
};
const char* op_name(Op op) noexcept;

// Numbers that the state of the script turns into arguments, so that any part of a script is a script too.
struct Step {
    Op op;
    uint32_t text, a, b, c;
    int cancel_at;  // -1: never
};

// A model and how its texts are held.
struct Setting {
    std::string name;  // for messages
    // Opens the model anew, so that nothing is there of what other scripts did.
    std::function<std::shared_ptr<const Model>(const ModelOptions&)> open;
    SessionOptions options;
    ModelOptions model;
};
using OpenDoor = std::function<std::unique_ptr<Door>(const std::shared_ptr<const Model>&, const SessionOptions&)>;

// What has happened in scripts, so that a test can see that everything has.
struct Counts {
    struct Of {
        int64_t done = 0, refused = 0, cancelled = 0;
    };
    Of ops[static_cast<size_t>(Op::count)];
    int64_t rewound_inside = 0;    // to a position that is neither 0 nor the end
    int64_t cancelled_inside = 0;  // with some of the tokens in place
    int64_t n_slid = 0;            // full contexts of which a part was dropped
    int64_t n_accepted = 0;        // drafted tokens
    int64_t n_steps = 0, n_compared = 0;
};

struct Failure {
    size_t step;
    std::string what;
};

std::vector<Step> random_script(uint64_t seed, size_t n_steps);

// Runs the script until a step leaves what it must not. log: where not null, what each step did.
std::optional<Failure> run_script(const Setting& setting, const OpenDoor& open, std::span<const Step> script,
                                  Counts& counts, std::ostream* log = nullptr);

// A script that still fails, from which no step can be taken away.
std::vector<Step> shortest_failing(const Setting& setting, const OpenDoor& open, std::vector<Step> script);

// Logits after texts by a session that only ever goes forward, in a model that has seen no other text. Each beginning
// of a text is computed once.
class Truth {
  public:
    Truth(const Setting& setting, int longest);

    // After each token from the position `from` on, [n_ids - from, n_vocab].
    std::vector<float> rows(std::span<const int32_t> ids, size_t from);
    std::vector<float> after(std::span<const int32_t> ids) { return rows(ids, ids.size() - 1); }
    std::vector<float> embedding(std::span<const int32_t> ids) const;

  private:
    std::unique_ptr<Session> fresh() const;
    void compute(std::span<const int32_t> ids);

    const Setting& setting_;
    SessionOptions options_;
    std::unique_ptr<Session> session_;
    std::unordered_map<uint64_t, std::vector<float>> known_;  // by the hash of the ids up to there
};

}  // namespace elver::test
