// One engine serves many texts. Calls bring work: tokens to compute behind a text. One of the calling threads makes
// passes, each over the work of all who wait, until its own is done; the others sleep meanwhile, and then one of them
// goes on. So threads that each pull a text share passes without knowing of each other.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/log.hpp"
#include "cache/prefix_tree.hpp"
#include "cpu/executor.hpp"
#include "engine/schedule.hpp"
#include "engine/sequence.hpp"

namespace elver {

// What an engine runs.
struct EngineModel {
    std::string name;  // of the file, for messages
    Log log;
    const cpu::Executor* executor;
    std::vector<CacheLayerSpec> cache_layers;
    std::vector<size_t> state_layers;  // floats of each layer's recurrent state
    int n_vocab = 0, width = 0;
    bool causal = true;
    bool has_head = true;
    int long_beyond = 0;  // texts with more positions have other rope frequencies; 0: all have the same
};

// What pages may take, and how much goes into a pass.
struct EngineOptions {
    // The most that the pages of all texts take, those that are kept for later texts included; 0: as much as the open
    // texts may need, and never less than least_page_bytes.
    size_t page_bytes = 0, least_page_bytes = 0;
    int pass_tokens = 0;  // the most tokens of a pass; 0: the largest max_batch of the open texts
    int pass_texts = 0;   // the most texts of a pass; 0: all that wait
    // Beside texts that are being written, prompts may make a pass take about so many times as long as one without.
    double gap = default_gap;
};

// Outputs of one run of the head.
inline constexpr int outputs_at_once = 32;

// A token that may come next, once those drafted before it have, and how likely it is that all of them do.
struct DraftToken {
    int32_t id;
    float chance;
};
// Drafted tokens of a pass, at most.
inline constexpr int most_drafted = 15;

// Rows that a call wants of its tokens: logits, or hidden states after the last norm.
struct Outputs {
    enum class Of : uint8_t { logits, hidden } of = Of::logits;
    std::vector<size_t> wanted;  // tokens, as rising indices into the call's ids
    // Takes them in their order, [n_vocab] or [width], on the thread of the call.
    std::function<void(size_t index, std::span<const float> row)> take;
    bool keeps_logits = true;  // those after the last token stay in the sequence
    bool pins = false;         // once it is computed the text is not set aside, until its thread unpins it
    // Tokens that may follow, at most most_drafted. The pass that computes the call's last token computes as many of
    // them as promise to save time, or all; they stand behind the text, with their logits. Needs keeps_logits.
    std::span<const DraftToken> drafts;
    bool all_drafts = false;
    // Sees the logits after the last token, once the pass has computed all it should, on a thread of the model's pool
    // and before the call returns. Must not throw.
    std::function<void(std::span<const float> logits)> ready;
};

// Tokens to append to a text, and what came of it.
struct Extension {
    Sequence* sequence = nullptr;
    std::span<const int32_t> ids;
    const Outputs* outputs = nullptr;
    Result<void> result;
    bool computed = false;  // all of the text
};

class Engine {
  public:
    Engine(EngineModel model, const EngineOptions& options);

    // Bytes that passes need for texts of that size: scratch, which an engine has once, for the largest.
    static size_t scratch_bytes(const EngineModel& model, const SequenceOptions& options);
    // Bytes of one text: pages and recurrent state, and the logits after its last token.
    static size_t cache_bytes(const EngineModel& model, const SequenceOptions& options) noexcept;
    static size_t logits_bytes(const EngineModel& model) noexcept;

    Result<std::unique_ptr<Sequence>> open(const SequenceOptions& options);
    // The same text once more, sharing its pages.
    Result<std::unique_ptr<Sequence>> fork(const Sequence& sequence);
    // What was computed of it is kept for other texts as long as nobody needs the room.
    void close(std::unique_ptr<Sequence> sequence) noexcept;

    // Cuts the text to its first n tokens.
    void truncate(Sequence& sequence, int n) noexcept;

    // Drops the older half of what is behind the first n_keep tokens of a text of n_keep + 2 or more. The next call
    // computes what follows anew.
    void slide(Sequence& sequence, int n_keep) noexcept;

    // Appends an input to the text and computes it all. progress: after each pass, on the thread of the call; false
    // cancels. Cancelled, the text stands behind what was computed, and at least where it stood; after any other error,
    // and an exception of take or progress, it is as it was.
    Result<void> extend(Sequence& sequence, const Input& input, const Outputs& outputs, const Progress& progress);

    // The same for several texts at once, no two of them the same, but for a single pass. A text that it has not
    // computed to its end does not get the new tokens, and keeps what was computed: a later call goes on from there. So
    // one thread can write many texts, and read a long one meanwhile. Errors are those of each text.
    void step(std::span<Extension> work);

    // Appends tokens that a later call computes.
    void append(Sequence& sequence, std::span<const int32_t> ids);

    // The text takes the first of its drafted tokens, and stands where it would if that had been computed now.
    void accept(Sequence& sequence) const noexcept;

    // Calls body with the memory of what the text goes on from, which is computed first if it is not: pages and
    // recurrent state, for snapshots.
    using Read = std::function<Result<void>(std::span<const std::span<std::byte>> memory)>;
    Result<void> read(Sequence& sequence, const Read& body);
    // Makes the sequence another text, whose memory fill() writes. Failed, it is as it was.
    using Fill = std::function<Result<void>(std::span<float> logits, std::span<const std::span<std::byte>> memory)>;
    Result<void> restore(Sequence& sequence, std::vector<int32_t> ids, std::vector<EmbeddedRows> rows, bool has_logits,
                         const Fill& fill);

    // Whether the calling thread makes a pass, of this engine or of one that shares its threads: a function that it
    // calls meanwhile may not wait for another.
    bool inside() const noexcept {
        return driver_.load(std::memory_order_relaxed) == std::this_thread::get_id() ||
               model_.executor->pool().inside();
    }

    // Bytes that are held now: pages in use, those asked of the system, scratch.
    struct Held {
        size_t pages, reserved, scratch;
    };
    Held held() const;
    // What a pass for one token is expected to take, in seconds; 0 before the first.
    double seconds_of_token() const;
    // Tokens that passes have computed.
    uint64_t n_computed() const noexcept { return n_computed_.load(std::memory_order_relaxed); }
    // Tokens of the text that are computed now: another thread may set it aside at any time.
    int n_computed(const Sequence& sequence) const noexcept {
        const std::unique_lock lock(mutex_);
        return sequence.n_computed();
    }

  private:
    struct Caller;
    struct Call;
    struct Leave;
    struct Output;
    struct Telling;
    struct Writer {
        Sequence* sequence;
        Schedule::Clock::time_point since;
    };
    Result<void> reserve(std::unique_lock<std::mutex>& lock, const SequenceOptions& options);
    Result<std::unique_ptr<Sequence>> make(const SequenceOptions& options);
    void admit(Sequence& sequence);
    void put(Sequence& sequence, const Input& input) const;
    Result<void> take_room(std::unique_lock<std::mutex>& lock, Sequence& sequence, KvCache& cache, int n);
    bool awaits_pins(const Call& call) const noexcept;
    void set_limit() noexcept;
    void cut(Sequence& sequence, int n) noexcept;
    void go_back(Sequence& sequence, int n) noexcept;
    void drop_drafted(Sequence& sequence) noexcept { cut(sequence, sequence.n_past()); }
    void forget_writer(Sequence& sequence) noexcept;
    void stop_awaiting(Sequence& sequence) noexcept;

    // All of these with the lock held; the pass itself runs without.
    void enter(Call& call, const Input& input);
    void leave(Call& call) noexcept;
    void advance(std::unique_lock<std::mutex>& lock, Caller& own);
    bool may_drive(const Caller& own) const noexcept;
    void hand_over() noexcept;
    void change() noexcept;
    void wait(std::unique_lock<std::mutex>& lock, Caller& own);
    bool make_pass(std::unique_lock<std::mutex>& lock, Caller& own);
    void gather(std::unique_lock<std::mutex>& lock, Caller& own);
    void begin_pass(const Caller& own);
    bool written_beside(const Sequence& sequence) const noexcept;
    bool waits_for_other(const Call& call) const noexcept;
    int begin_segment(Call& call, int most);
    void choose_drafts(int most);
    static bool hold_drafts(Sequence& sequence, int n, int n_drafted) noexcept;
    void lay_out();
    void adopt(Call& call);
    bool make_room(const Call& call) noexcept;
    void set_aside(Sequence& sequence) noexcept;
    void tell() noexcept;
    void commit_pass();
    void blame_pass();
    void keep(Sequence& sequence, bool tail) noexcept;
    bool run_pass(Caller& own);
    bool goes_on(Caller& own) noexcept;
    template <class Body>
    void in_parallel(size_t n, const Body& body) const;
    bool run_outputs(cpu::Pass& pass, Outputs::Of of, std::span<const Output> outputs);

    const EngineModel model_;
    const EngineOptions options_;
    const std::shared_ptr<PagePool> pool_;
    PrefixTree prefixes_;

    mutable std::mutex mutex_;
    std::condition_variable changed_;  // for threads that wait without a call
    uint64_t n_changes_ = 0;
    std::atomic<std::thread::id> driver_{};  // the thread that makes a pass
    int n_reserving_ = 0;                    // threads that wait for the passes to pause
    bool passing_ = false;                   // a thread makes a pass
    Caller* gatherer_ = nullptr;             // and waits for texts that are about to go on,
    int n_awaited_ = 0;                      // so many
    std::vector<Call*> calls_;               // under way, in the order in which they came
    std::vector<Sequence*> sequences_;
    std::vector<Writer> writers_;  // texts that have got a token, and will probably ask for the next
    Schedule schedule_;
    uint64_t n_passes_ = 0;
    Schedule::Clock::time_point pass_began_;
    std::vector<std::string> notes_;  // for the log, which is told when the lock is not held
    bool cut_short_ = false;          // the last pass ended because one of its calls was cancelled

    // Of the pass at work: its thread alone touches these.
    cpu::Scratch scratch_;
    AlignedBuffer scratch_memory_;
    SequenceOptions largest_;
    std::vector<Call*> in_pass_;
    std::vector<cpu::Segment> segments_;
    std::vector<int32_t> ids_, pos_, outputs_;
    int n_logits_ = 0;  // rows that have logits
    std::vector<const float*> rows_;
    CancelToken cancel_;
    std::atomic<size_t> stop_{SIZE_MAX};
    cpu::Fault fault_;
    std::atomic<uint64_t> n_computed_{0};
};

}  // namespace elver
