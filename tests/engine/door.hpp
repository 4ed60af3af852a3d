// What a host can do with texts, as a script of the property test does it. The same scripts run over anything that
// holds texts: a Door opens them, a Text is one of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "answer/sampler_settings.hpp"
#include "base/result.hpp"

namespace elver::test {

struct Answer {
    std::vector<int32_t> ids;
    bool cancelled = false;
    int n_accepted = 0;  // drafted tokens
};

class Text {
  public:
    virtual ~Text() = default;

    virtual int n_ctx() const = 0;
    virtual std::span<const int32_t> ids() const = 0;
    // After the last token, [n_vocab]; empty where the text has none.
    virtual std::span<const float> logits() const = 0;

    // rows: where not null, the logits after every token are appended to it, [n_ids, n_vocab].
    virtual Result<void> prefill(std::span<const int32_t> ids, std::vector<float>* rows) = 0;
    // The text becomes these ids, what it shares with them is kept.
    virtual Result<void> complete(std::span<const int32_t> ids) = 0;
    // n tokens, the last of which is not computed: it stands in the answer alone. prediction: where it is not empty, as
    // many tokens as can be are drafted from it, and the answer is left before its end.
    virtual Result<Answer> generate(int n, const SamplerSettings& settings,
                                    std::span<const int32_t> prediction = {}) = 0;
    virtual Result<void> rewind(int n_past) = 0;
    virtual Result<std::vector<float>> embed(std::span<const int32_t> ids) = 0;
    virtual Result<std::vector<std::byte>> save() = 0;
    virtual Result<void> restore(std::span<const std::byte> snapshot) = 0;
    virtual Result<std::unique_ptr<Text>> fork() = 0;
};

// What one of several texts does while the others do something, too.
struct Work {
    enum class Kind : uint8_t { prefill, generate, save } kind = Kind::prefill;
    Text* text = nullptr;
    std::vector<int32_t> ids;  // of prefill
    int n_tokens = 0;          // of generate
    SamplerSettings settings;

    Result<void> done;
    Answer answer;
    std::vector<std::byte> snapshot;

    void run() {
        if (kind == Kind::prefill)
            done = text->prefill(ids, nullptr);
        else if (kind == Kind::generate)
            keep(text->generate(n_tokens, settings), answer);
        else
            keep(text->save(), snapshot);
    }

  private:
    template <class T>
    void keep(Result<T> found, T& to) {
        if (found)
            to = *std::move(found);
        else
            done = std::move(found).error();
    }
};

class Door {
  public:
    virtual ~Door() = default;

    virtual Result<std::unique_ptr<Text>> open() = 0;
    // A text with other options, whose snapshots the texts of open() refuse.
    virtual Result<std::unique_ptr<Text>> open_another() = 0;
    // All at once, where texts can go on at the same time; else one after the other.
    virtual void together(std::span<Work> all) {
        for (Work& w : all) w.run();
    }
    // The call that follows is cancelled when it asks for the n-th time whether it may go on; -1: it never is.
    virtual void cancel_at(int n) = 0;
};

}  // namespace elver::test
