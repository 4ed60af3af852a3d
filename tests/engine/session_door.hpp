// Texts held by sessions of one model.
#pragma once

#include <atomic>
#include <list>
#include <thread>
#include <utility>

#include "answer/generate.hpp"
#include "door.hpp"
#include "engine/session.hpp"

namespace elver::test {

class SessionDoor final : public Door {
  public:
    SessionDoor(std::shared_ptr<const Model> model, const SessionOptions& options)
        : model_(std::move(model)), options_(options) {
        options_.go_on = [](void* door) -> int { return static_cast<SessionDoor*>(door)->may_go_on(); };
        options_.context = this;
    }

    Result<std::unique_ptr<Text>> open() override { return open_with(options_); }
    Result<std::unique_ptr<Text>> open_another() override {
        SessionOptions other = options_;
        ++other.n_ctx;
        return open_with(other);
    }
    void cancel_at(int n) override { left_ = n; }
    // Each by a thread of its own, so that passes hold several texts; every other time one thread steps through those
    // that read or write.
    void together(std::span<Work> all) override {
        std::vector<std::thread> threads;
        std::vector<Work*> stepped;
        steps_ = !steps_;
        for (Work& w : all) {
            const bool reads = w.kind == Work::Kind::prefill && !w.ids.empty();
            if (steps_ && (reads || w.kind == Work::Kind::generate))
                stepped.push_back(&w);
            else
                threads.emplace_back([&w] { w.run(); });
        }
        if (!stepped.empty()) step_through(stepped);
        for (std::thread& t : threads) t.join();
    }

  private:
    class SessionText final : public Text {
      public:
        SessionText(SessionDoor& door, std::unique_ptr<Session> session) : door_(&door), session_(std::move(session)) {}

        int n_ctx() const override { return session_->n_ctx(); }
        std::span<const int32_t> ids() const override { return session_->ids(); }
        std::span<const float> logits() const override { return session_->logits(); }

        Result<void> prefill(std::span<const int32_t> ids, std::vector<float>* rows) override {
            Session::OnLogits on_logits;
            if (rows != nullptr) {
                on_logits = [rows](size_t, std::span<const float> row) {
                    rows->insert(rows->end(), row.begin(), row.end());
                };
            }
            return session_->prefill(ids, on_logits, door_->progress());
        }
        Result<void> complete(std::span<const int32_t> ids) override {
            const Session::Request request(*session_);
            const auto n_cached = prefill_reusing(*session_, ids, door_->progress());
            return n_cached ? Result<void>() : n_cached.error();
        }
        Result<Answer> generate(int n, const SamplerSettings& settings, std::span<const int32_t> prediction) override {
            GenerateOptions options;
            options.sampler = settings;
            options.max_tokens = n;
            options.ignore_end = true;
            if (!prediction.empty()) {
                options.drafting = Drafting::always;
                options.prediction.assign(prediction.begin(), prediction.end());
                options.max_tokens = -1;
            }
            const Session::Request request(*session_);
            auto generator = Generator::make(*session_, options);
            if (!generator) return std::move(generator).error();
            Answer answer;
            for (;;) {
                if (!prediction.empty() && static_cast<int>(answer.ids.size()) == n) return answer;
                auto event = generator->next();
                if (!event) return std::move(event).error();
                answer.n_accepted = event->counts.accepted;
                if (event->id >= 0) answer.ids.push_back(event->id);
                if (event->finish == FinishReason::none) continue;
                answer.cancelled = event->finish == FinishReason::cancelled;
                return answer;
            }
        }
        Result<void> rewind(int n_past) override { return session_->rewind(n_past); }
        Result<std::vector<float>> embed(std::span<const int32_t> ids) override { return session_->embed(ids); }
        Result<std::vector<std::byte>> save() override {
            std::vector<std::byte> out;
            auto done = session_->save([&](std::span<const std::byte> bytes) -> Result<void> {
                out.insert(out.end(), bytes.begin(), bytes.end());
                return {};
            });
            if (!done) return std::move(done).error();
            return out;
        }
        Result<void> restore(std::span<const std::byte> snapshot) override {
            return session_->restore(snapshot, "snapshot");
        }
        Result<std::unique_ptr<Text>> fork() override {
            auto other = session_->fork();
            if (!other) return std::move(other).error();
            return std::unique_ptr<Text>(std::make_unique<SessionText>(*door_, *std::move(other)));
        }

      private:
        friend SessionDoor;
        SessionDoor* door_;
        std::unique_ptr<Session> session_;
    };

    bool may_go_on() { return left_ < 0 || left_.fetch_sub(1) > 0; }
    Progress progress() {
        return [this](double) { return may_go_on(); };
    }
    Result<std::unique_ptr<Text>> open_with(const SessionOptions& options) {
        auto session = Session::make(model_, options);
        if (!session) return std::move(session).error();
        return std::unique_ptr<Text>(std::make_unique<SessionText>(*this, *std::move(session)));
    }

    // What is read is the prompt of an answer that is deferred.
    void step_through(std::span<Work* const> all) {
        struct Running {
            Running(Work* w, Session& session) : work(w), request(session) {}
            Work* work;
            Session::Request request;
            Result<Generator> answer = Error(Status::busy, "not begun");
            bool goes_on = false;
        };
        std::list<Running> running;
        for (Work* w : all) {
            Session& session = *static_cast<SessionText*>(w->text)->session_;
            const bool reads = w->kind == Work::Kind::prefill;
            GenerateOptions options;
            options.sampler = w->settings;
            options.max_tokens = reads ? 1 : w->n_tokens;
            options.ignore_end = true;
            std::vector<int32_t> prompt(session.ids().begin(), session.ids().end());
            prompt.insert(prompt.end(), w->ids.begin(), w->ids.end());
            Running& r = running.emplace_back(w, session);
            r.answer = reads ? Generator::defer(session, prompt, options) : Generator::make(session, options);
            r.goes_on = bool(r.answer);
            if (!r.answer) w->done = r.answer.error();
        }
        for (;;) {
            std::vector<StepItem> items;
            std::vector<Running*> of_items;
            for (Running& r : running) {
                if (!r.goes_on) continue;
                items.push_back({&*r.answer});
                of_items.push_back(&r);
            }
            if (items.empty()) return;
            step(*model_, items);
            for (size_t i = 0; i < items.size(); ++i) {
                Running& r = *of_items[i];
                const auto& event = items[i].event;
                if (event && event->id >= 0) r.work->answer.ids.push_back(event->id);
                r.goes_on = event && event->finish == FinishReason::none;
                if (event && event->finish == FinishReason::cancelled) {
                    r.work->answer.cancelled = true;
                    if (r.work->kind == Work::Kind::prefill) r.work->done = Error(Status::cancelled, "", "");
                }
                if (!event) r.work->done = event.error();
            }
        }
    }

    std::shared_ptr<const Model> model_;
    SessionOptions options_;
    bool steps_ = false;
    std::atomic<int> left_{-1};
};

}  // namespace elver::test
