// elver for C++20, header-only over elver.h: handles as move-only objects, views instead of copies, events as a range.
// It adds no symbols to the library, and allocates and copies nothing that the C calls do not.
//
//     auto model = elver::Model::open("model.gguf");
//     model.load();
//     elver::Session session(model);
//     session.chat(R"({"messages": [{"role": "user", "content": "Why is the sky blue?"}]})");
//     for (const elver::Event& event : session.events()) std::cout << event.text << std::flush;
//
// A call that fails throws elver::Error. Compiled without exceptions, each call returns an elver::Expected instead:
// what is written Outcome<T> here is T with exceptions and Expected<T> without. What a call needs and does is told at
// its namesake in elver.h.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "elver/elver.h"
#include "elver/elver_experimental.h"

#if defined(__cpp_exceptions)
#include <exception>
#define ELVER_HPP_EXCEPTIONS 1
#define ELVER_HPP_NAMESPACE api
#else
#define ELVER_HPP_EXCEPTIONS 0
#define ELVER_HPP_NAMESPACE api_without_exceptions
#endif

namespace elver {
// Named by how errors travel, so that files compiled both ways may meet in one program.
inline namespace ELVER_HPP_NAMESPACE {

namespace detail {
template <auto release>
struct Releaser {
    template <class T>
    void operator()(T* handle) const noexcept {
        release(handle);
    }
};
template <class T, auto release>
using Handle = std::unique_ptr<T, Releaser<release>>;
}  // namespace detail

// Status, message, and the file, tensor, key or argument that it speaks of. Copies share one error.
class Error
#if ELVER_HPP_EXCEPTIONS
    : public std::exception
#endif
{
  public:
    Error(elver_status status, elver_error* owned) noexcept : status_(status) {
        if (owned != nullptr) error_ = std::shared_ptr<elver_error>(owned, elver_error_release);
    }
    // Of the headers for C++ themselves: a view whose shape does not fit.
    Error(std::string object, int64_t expected, int64_t found) : status_(ELVER_INVALID_ARGUMENT) {
        std::string message = object + ": expected " + std::to_string(expected) + ", found " + std::to_string(found);
        own_ = std::make_shared<const Own>(Own{std::move(message), std::move(object)});
    }
    elver_status status() const noexcept { return status_; }
    const char* message() const noexcept {
        return own_ ? own_->message.c_str() : error_ ? elver_error_message(error_.get()) : "out of memory";
    }
    const char* object() const noexcept { return own_ ? own_->object.c_str() : elver_error_object(error_.get()); }
#if ELVER_HPP_EXCEPTIONS
    const char* what() const noexcept override { return message(); }
#endif

  private:
    struct Own {
        std::string message, object;
    };
    elver_status status_;
    std::shared_ptr<elver_error> error_;
    std::shared_ptr<const Own> own_;
};

// A value or an Error. Ask which before you take either.
template <class T>
class [[nodiscard]] Expected {
  public:
    Expected(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Expected(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
    explicit operator bool() const noexcept { return state_.index() == 0; }
    T& operator*() & noexcept { return *std::get_if<0>(&state_); }
    T&& operator*() && noexcept { return std::move(*std::get_if<0>(&state_)); }
    const T& operator*() const& noexcept { return *std::get_if<0>(&state_); }
    T* operator->() noexcept { return std::get_if<0>(&state_); }
    const T* operator->() const noexcept { return std::get_if<0>(&state_); }
    const Error& error() const noexcept { return *std::get_if<1>(&state_); }

  private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Expected<void> {
  public:
    Expected() noexcept = default;
    Expected(Error error) noexcept : error_(std::move(error)) {}
    explicit operator bool() const noexcept { return !error_.has_value(); }
    const Error& error() const noexcept { return *error_; }

  private:
    std::optional<Error> error_;
};

#if ELVER_HPP_EXCEPTIONS
template <class T>
using Outcome = T;
#else
template <class T>
using Outcome = Expected<T>;
#endif

namespace detail {

template <class T>
Outcome<T> failed(Error error) {
#if ELVER_HPP_EXCEPTIONS
    throw std::move(error);
#else
    return error;
#endif
}
// Runs a C call that takes an error last; answers what `make` makes of its success.
template <class T, class Call, class Make>
Outcome<T> outcome(Call&& call, Make&& make) {
    elver_error* raw = nullptr;
    const elver_status status = call(&raw);
    if (status != ELVER_OK) return failed<T>(Error(status, raw));
    return make();
}
template <class Call>
Outcome<void> outcome(Call&& call) {
    return outcome<void>(std::forward<Call>(call), [] { return Outcome<void>(); });
}

inline elver_source path_source(std::string_view path) noexcept {
    elver_source source = ELVER_SOURCE_INIT;
    source.path = path.data();
    source.path_size = path.size();
    return source;
}

inline elver_sink path_sink(std::string_view path) noexcept {
    elver_sink sink = ELVER_SINK_INIT;
    sink.path = path.data();
    sink.path_size = path.size();
    return sink;
}

// A C++ callable behind the ABI's function and context. What it throws stops the call and comes out of it again.
template <class F>
class Callback {
  public:
    explicit Callback(F& function) noexcept : function_(&function) {}
    void* context() noexcept { return this; }

    static int progress(double fraction, void* context) {
        return static_cast<Callback*>(context)->run([&](F& f) { return f(fraction); });
    }
    static int logits(size_t index, const float* logits, size_t n, void* context) {
        return static_cast<Callback*>(context)->run([&](F& f) { return f(index, std::span<const float>(logits, n)); });
    }
#if ELVER_HPP_EXCEPTIONS
    // What the function threw goes on in place of the error that the call made of it.
    void rethrow(elver_error* error) const {
        if (!thrown_) return;
        elver_error_release(error);
        std::rethrow_exception(thrown_);
    }
#else
    void rethrow(elver_error*) const noexcept {}
#endif

  private:
    // A callable that answers nothing goes on.
    template <class Use>
    int go(Use&& use) {
        if constexpr (std::is_void_v<decltype(use(*function_))>)
            return use(*function_), 1;
        else
            return use(*function_) ? 1 : 0;
    }
    template <class Use>
    int run(Use&& use) noexcept {
#if ELVER_HPP_EXCEPTIONS
        try {
            return go(use);
        } catch (...) {
            thrown_ = std::current_exception();
            return 0;
        }
#else
        return go(use);
#endif
    }

    F* function_;
#if ELVER_HPP_EXCEPTIONS
    std::exception_ptr thrown_;
#endif
};

// Runs a C call whose options have a progress function.
template <class Options, class F, class Call>
Outcome<void> reporting(Options& options, F& progress, Call&& call) {
    Callback<F> callback(progress);
    options.progress = callback.progress;
    options.context = callback.context();
    return outcome([&](elver_error** e) {
        const elver_status status = call(e);
        callback.rethrow(*e);
        return status;
    });
}

}  // namespace detail

// Text of the library's, valid UTF-8. A view of it lives as long as it does.
class Text {
  public:
    explicit Text(elver_text* owned) noexcept : handle_(owned) {}
    std::string_view view() const noexcept { return {elver_text_data(c()), elver_text_size(c())}; }
    operator std::string_view() const& noexcept { return view(); }
    operator std::string_view() const&& = delete;  // it would dangle
    std::string str() const { return std::string(view()); }
    const char* c_str() const noexcept { return elver_text_data(c()); }
    elver_text* c() const noexcept { return handle_.get(); }  // borrowed

  private:
    detail::Handle<elver_text, elver_text_release> handle_;
};

// Token ids of the library's. A range of int32_t.
class Ids {
  public:
    explicit Ids(elver_ids* owned) noexcept : handle_(owned) {}
    std::span<const int32_t> view() const noexcept { return {elver_ids_data(c()), elver_ids_size(c())}; }
    operator std::span<const int32_t>() const& noexcept { return view(); }
    operator std::span<const int32_t>() const&& = delete;  // it would dangle
    const int32_t* begin() const noexcept { return elver_ids_data(c()); }
    const int32_t* end() const noexcept { return elver_ids_data(c()) + elver_ids_size(c()); }
    size_t size() const noexcept { return elver_ids_size(c()); }
    elver_ids* c() const noexcept { return handle_.get(); }  // borrowed

  private:
    detail::Handle<elver_ids, elver_ids_release> handle_;
};

namespace detail {
// Where source views nothing, the template beside the vocabulary.
inline Outcome<Text> render(const elver_tokenizer* tokenizer, std::string_view source, std::string_view variables) {
    elver_text* out = nullptr;
    return outcome<Text>(
        [&](elver_error** e) {
            return elver_tokenizer_render(tokenizer, source.data(), source.size(), variables.data(), variables.size(),
                                          &out, e);
        },
        [&] { return Text(out); });
}
}  // namespace detail

// A token of a vocabulary; see elver_token.
struct Token {
    std::string_view bytes;  // what it stands for, which may be a part of a character
    elver_token_kind kind = ELVER_TOKEN_NORMAL;
    bool is_control = false;
    bool is_end = false;
};

class Tokenizer {
  public:
    explicit Tokenizer(elver_tokenizer* owned) noexcept : handle_(owned) {}
    static Outcome<Tokenizer> open(const elver_source& source) {
        elver_tokenizer* out = nullptr;
        return detail::outcome<Tokenizer>([&](elver_error** e) { return elver_tokenizer_open(&source, &out, e); },
                                          [&] { return Tokenizer(out); });
    }
    static Outcome<Tokenizer> open(std::string_view path) { return open(detail::path_source(path)); }

    // flags: see elver_text_flag. A truth value is none.
    template <std::same_as<bool> Flag>
    Outcome<Ids> encode(std::string_view text, Flag) const = delete;
    Outcome<Ids> encode(std::string_view text, uint32_t flags = ELVER_TEXT_ADD_SPECIAL) const {
        elver_ids* out = nullptr;
        return detail::outcome<Ids>(
            [&](elver_error** e) { return elver_tokenizer_encode(c(), text.data(), text.size(), flags, &out, e); },
            [&] { return Ids(out); });
    }
    template <std::same_as<bool> Flag>
    Outcome<Text> decode(std::span<const int32_t> ids, Flag) const = delete;
    Outcome<Text> decode(std::span<const int32_t> ids, uint32_t flags = 0) const {
        elver_text* out = nullptr;
        return detail::outcome<Text>(
            [&](elver_error** e) { return elver_tokenizer_decode(c(), ids.data(), ids.size(), flags, &out, e); },
            [&] { return Text(out); });
    }
    // Its bytes are borrowed until the tokenizer is gone.
    Outcome<Token> token(int32_t id) const {
        elver_token t = ELVER_TOKEN_INIT;
        return detail::outcome<Token>(
            [&](elver_error** e) { return elver_tokenizer_token(c(), id, &t, e); },
            [&]() -> Token {
                return {{t.bytes, t.n_bytes}, static_cast<elver_token_kind>(t.kind), t.is_control != 0, t.is_end != 0};
            });
    }
    // -1 where there is none.
    int32_t special(elver_special which) const noexcept { return elver_tokenizer_special(c(), which); }
    int32_t find(std::string_view text) const noexcept { return elver_tokenizer_find(c(), text.data(), text.size()); }
    // Through the chat template that lies beside the vocabulary, or another one; variables are a JSON object.
    Outcome<Text> render(std::string_view variables) const { return detail::render(c(), {}, variables); }
    Outcome<Text> render(std::string_view source, std::string_view variables) const {
        return detail::render(c(), source, variables);
    }
    int32_t n_vocab() const noexcept { return elver_tokenizer_n_vocab(c()); }
    bool is_end(int32_t id) const noexcept { return elver_tokenizer_is_end(c(), id) != 0; }
    elver_tokenizer* c() const noexcept { return handle_.get(); }  // borrowed

  private:
    detail::Handle<elver_tokenizer, elver_tokenizer_release> handle_;
};

// Threads that models share: set elver_model_options::threads to c(). They live as long as who uses them.
class Threads {
  public:
    explicit Threads(elver_threads* owned) noexcept : handle_(owned) {}
    // 0: the physical cores that this process may use.
    static Outcome<Threads> create(int32_t n_threads = 0) {
        elver_threads* out = nullptr;
        return detail::outcome<Threads>([&](elver_error** e) { return elver_threads_create(n_threads, &out, e); },
                                        [&] { return Threads(out); });
    }
    int32_t count() const noexcept { return elver_threads_count(c()); }
    elver_threads* c() const noexcept { return handle_.get(); }  // borrowed

  private:
    detail::Handle<elver_threads, elver_threads_release> handle_;
};

// Turns tokens that come one by one into whole characters. What a call gives is borrowed until the next one.
class Detokenizer {
  public:
    explicit Detokenizer(elver_detokenizer* owned) noexcept : handle_(owned) {}
    static Outcome<Detokenizer> open(const Tokenizer& tokenizer, uint32_t flags = 0) {
        elver_detokenizer* out = nullptr;
        return detail::outcome<Detokenizer>(
            [&](elver_error** e) { return elver_detokenizer_open(tokenizer.c(), flags, &out, e); },
            [&] { return Detokenizer(out); });
    }
#if ELVER_HPP_EXCEPTIONS
    explicit Detokenizer(const Tokenizer& tokenizer, uint32_t flags = 0) : Detokenizer(open(tokenizer, flags)) {}
#endif
    // Tokens that stand before the stream, as those of a prompt that it continues.
    Outcome<void> follow(std::span<const int32_t> ids) {
        return detail::outcome(
            [&](elver_error** e) { return elver_detokenizer_follow(c(), ids.data(), ids.size(), e); });
    }
    Outcome<std::string_view> push(int32_t id) {
        return text([&](const char** text, size_t* size, elver_error** e) {
            return elver_detokenizer_push(c(), id, text, size, e);
        });
    }
    // What waited for the rest of its character; the next push begins another stream.
    Outcome<std::string_view> finish() {
        return text([&](const char** text, size_t* size, elver_error** e) {
            return elver_detokenizer_finish(c(), text, size, e);
        });
    }
    elver_detokenizer* c() const noexcept { return handle_.get(); }  // borrowed

  private:
    template <class Call>
    Outcome<std::string_view> text(Call&& call) {
        const char* text = nullptr;
        size_t size = 0;
        return detail::outcome<std::string_view>([&](elver_error** e) { return call(&text, &size, e); },
                                                 [&] { return std::string_view(text, size); });
    }

    detail::Handle<elver_detokenizer, elver_detokenizer_release> handle_;
};

// What a session reads: token ids, a text, or rows that take the place of tokens' embeddings. All are borrowed.
class Input {
  public:
    template <class Ids>
        requires std::convertible_to<const Ids&, std::span<const int32_t>>
    Input(const Ids& ids) noexcept {
        const std::span<const int32_t> span = ids;
        input_.ids = span.data();
        input_.n_ids = span.size();
    }
    Input(const int32_t* ids, size_t n) noexcept : Input(std::span<const int32_t>(ids, n)) {}
    // flags: see elver_text_flag.
    static Input text(std::string_view text, uint32_t flags = ELVER_TEXT_ADD_SPECIAL) noexcept {
        Input out;
        out.input_.kind = ELVER_INPUT_TEXT;
        out.input_.flags = flags;
        out.input_.text = text.data();
        out.input_.text_size = text.size();
        return out;
    }
    // [rows, width], width being the model's.
    static Input embeddings(std::span<const float> rows, size_t width) noexcept {
        Input out;
        out.input_.kind = ELVER_INPUT_EMBEDDINGS;
        out.input_.embeddings = rows.data();
        out.input_.n_rows = width == 0 ? 0 : rows.size() / width;
        out.input_.width = width;
        return out;
    }
    const elver_input* c() const noexcept { return &input_; }

  private:
    Input() = default;
    elver_input input_ = ELVER_INPUT_INIT;
};

class Model {
  public:
    explicit Model(elver_model* owned) noexcept : handle_(owned) {}
    // Opens and checks; load() makes it ready for sessions.
    static Outcome<Model> open(const elver_source& source,
                               const elver_model_options& options = ELVER_MODEL_OPTIONS_INIT) {
        elver_model* out = nullptr;
        return detail::outcome<Model>([&](elver_error** e) { return elver_model_open(&source, &options, &out, e); },
                                      [&] { return Model(out); });
    }
    static Outcome<Model> open(std::string_view path, const elver_model_options& options = ELVER_MODEL_OPTIONS_INIT) {
        return open(detail::path_source(path), options);
    }

    Outcome<void> load() {
        return detail::outcome([&](elver_error** e) { return elver_model_load(c(), nullptr, nullptr, e); });
    }
    // progress: fraction -> false to cancel; or nothing.
    template <class F>
    Outcome<void> load(F&& progress) {
        detail::Callback<std::remove_reference_t<F>> call(progress);
        return detail::outcome([&](elver_error** e) {
            const elver_status status = elver_model_load(c(), call.progress, call.context(), e);
            call.rethrow(*e);
            return status;
        });
    }
    Outcome<elver_plan> plan(const elver_session_options& options = ELVER_SESSION_OPTIONS_INIT) const {
        elver_plan out = ELVER_PLAN_INIT;
        return detail::outcome<elver_plan>([&](elver_error** e) { return elver_model_plan(c(), &options, &out, e); },
                                           [&] { return out; });
    }
    // The largest context, or the most sessions, that a budget has room for; see elver_model_fit.
    Outcome<elver_fit> fit(uint64_t budget_bytes, const elver_session_options& options = ELVER_SESSION_OPTIONS_INIT,
                           int32_t n_sessions = 0) const {
        elver_fit out = ELVER_FIT_INIT;
        return detail::outcome<elver_fit>(
            [&](elver_error** e) { return elver_model_fit(c(), budget_bytes, &options, n_sessions, &out, e); },
            [&] { return out; });
    }
    Outcome<Text> describe(elver_describe what) const {
        elver_text* out = nullptr;
        return detail::outcome<Text>([&](elver_error** e) { return elver_model_describe(c(), what, &out, e); },
                                     [&] { return Text(out); });
    }
    Outcome<elver_machine> measure() const {
        elver_machine out = ELVER_MACHINE_INIT;
        return detail::outcome<elver_machine>([&](elver_error** e) { return elver_model_measure(c(), &out, e); },
                                              [&] { return out; });
    }
    Outcome<Tokenizer> tokenizer() const {
        elver_tokenizer* out = nullptr;
        return detail::outcome<Tokenizer>([&](elver_error** e) { return elver_model_tokenizer(c(), &out, e); },
                                          [&] { return Tokenizer(out); });
    }
    // Writes a packed file. progress: fraction -> false to cancel; or nothing.
    template <class F>
    Outcome<void> pack(const elver_sink& sink, F&& progress) const {
        elver_pack_options options = ELVER_PACK_OPTIONS_INIT;
        return detail::reporting(options, progress,
                                 [&](elver_error** e) { return elver_model_pack(c(), &sink, &options, e); });
    }
    Outcome<void> pack(std::string_view path) const {
        const elver_sink sink = detail::path_sink(path);
        return detail::outcome([&](elver_error** e) { return elver_model_pack(c(), &sink, nullptr, e); });
    }
    int32_t n_vocab() const noexcept { return elver_model_n_vocab(c()); }
    int32_t width() const noexcept { return elver_model_width(c()); }
    int32_t n_ctx_train() const noexcept { return elver_model_n_ctx_train(c()); }
    elver_model* c() const noexcept { return handle_.get(); }  // borrowed

  private:
    detail::Handle<elver_model, elver_model_release> handle_;
};
static_assert(sizeof(Model) == sizeof(void*));

// Renders a template's source alone; variables are a JSON object.
inline Outcome<Text> render_template(std::string_view source, std::string_view variables) {
    return detail::render(nullptr, source, variables);
}

// Processor and instruction sets, as a JSON object.
inline Outcome<Text> describe_machine() {
    elver_text* out = nullptr;
    return detail::outcome<Text>([&](elver_error** e) { return elver_machine_describe(&out, e); },
                                 [&] { return Text(out); });
}

// The alternatives to a token, likeliest first: a range of elver_logprob.
class Alternatives {
  public:
    class Iterator {
      public:
        using value_type = elver_logprob;
        using difference_type = std::ptrdiff_t;
        Iterator() = default;
        Iterator(const char* at, size_t stride) noexcept : at_(at), stride_(stride) {}
        const elver_logprob& operator*() const noexcept { return *reinterpret_cast<const elver_logprob*>(at_); }
        const elver_logprob* operator->() const noexcept { return &**this; }
        Iterator& operator++() noexcept { return at_ += stride_, *this; }
        Iterator operator++(int) noexcept {
            const Iterator before = *this;
            ++*this;
            return before;
        }
        bool operator==(const Iterator& other) const noexcept { return at_ == other.at_; }

      private:
        const char* at_ = nullptr;
        size_t stride_ = 0;
    };

    Alternatives() = default;
    explicit Alternatives(const elver_event& e) noexcept
        : first_(reinterpret_cast<const char*>(e.top)), n_(e.n_top), stride_(e.top_stride) {}
    size_t size() const noexcept { return n_; }
    bool empty() const noexcept { return n_ == 0; }
    const elver_logprob& operator[](size_t i) const noexcept { return *Iterator(first_ + i * stride_, stride_); }
    Iterator begin() const noexcept { return {first_, stride_}; }
    Iterator end() const noexcept { return {first_ + n_ * stride_, stride_}; }

  private:
    const char* first_ = nullptr;
    size_t n_ = 0, stride_ = 0;
};
static_assert(std::forward_iterator<Alternatives::Iterator>);

// A step of an answer. Its text, bytes and alternatives are borrowed until the next call in the session. What the other
// fields of elver_event are (counts, times) is told there.
struct Event {
    elver_event_kind kind = ELVER_EVENT_TEXT;
    std::string_view text;
    int32_t id = -1;  // the token, or -1
    elver_finish finish = ELVER_FINISH_NONE;
    float logprob = 0;
    Alternatives top;
    std::string_view bytes;  // the token's own, which may be a part of a character
    uint64_t seed = 0;       // that the answer is drawn with
    int32_t n_prompt = 0, n_cached = 0, n_generated = 0, n_drafted = 0, n_accepted = 0, n_unread = 0;
    double prompt_seconds = 0, generation_seconds = 0;
    Event() = default;
    explicit Event(const elver_event& e) noexcept
        : kind(static_cast<elver_event_kind>(e.kind)),
          text(e.text, e.text_size),
          id(e.id),
          finish(static_cast<elver_finish>(e.finish)),
          logprob(e.logprob),
          top(e),
          bytes(e.bytes, e.n_bytes),
          seed(e.seed),
          n_prompt(e.n_prompt),
          n_cached(e.n_cached),
          n_generated(e.n_generated),
          n_drafted(e.n_drafted),
          n_accepted(e.n_accepted),
          n_unread(e.n_unread),
          prompt_seconds(e.prompt_seconds),
          generation_seconds(e.generation_seconds) {}
    bool last() const noexcept { return finish != ELVER_FINISH_NONE; }
};

class Events;

class Session {
  public:
    explicit Session(elver_session* owned) noexcept : handle_(owned) {}
    static Outcome<Session> open(const Model& model,
                                 const elver_session_options& options = ELVER_SESSION_OPTIONS_INIT) {
        elver_session* out = nullptr;
        return detail::outcome<Session>(
            [&](elver_error** e) { return elver_session_open(model.c(), &options, &out, e); },
            [&] { return Session(out); });
    }
#if ELVER_HPP_EXCEPTIONS
    explicit Session(const Model& model, const elver_session_options& options = ELVER_SESSION_OPTIONS_INIT)
        : Session(open(model, options)) {}
#endif

    Outcome<void> prefill(const Input& input) {
        return detail::outcome([&](elver_error** e) { return elver_session_prefill(c(), input.c(), nullptr, e); });
    }
    // on_logits: (index into the input, logits as std::span<const float>) -> false to cancel; or nothing. For every
    // token, or for those at the rising indices `wanted`.
    template <class F>
    Outcome<void> prefill(const Input& input, F&& on_logits) {
        return prefill_logits(input, nullptr, 0, on_logits);
    }
    template <class F>
    Outcome<void> prefill(const Input& input, std::span<const size_t> wanted, F&& on_logits) {
        static const size_t none = 0;
        return prefill_logits(input, wanted.empty() ? &none : wanted.data(), wanted.size(), on_logits);
    }
    // Of unit length, [the model's width]; see elver_session_embed.
    Outcome<std::vector<float>> embed(const Input& input, elver_pooling pooling = ELVER_POOLING_DEFAULT) {
        elver_embed_options options = ELVER_EMBED_OPTIONS_INIT;
        options.pooling = pooling;
        return embed_with(input, options, [](elver_error*) {});
    }
    // progress: fraction -> false to cancel; or nothing.
    template <class F>
    Outcome<std::vector<float>> embed(const Input& input, elver_pooling pooling, F&& progress) {
        detail::Callback<std::remove_reference_t<F>> call(progress);
        elver_embed_options options = ELVER_EMBED_OPTIONS_INIT;
        options.pooling = pooling;
        options.progress = call.progress;
        options.context = call.context();
        return embed_with(input, options, [&](elver_error* e) { call.rethrow(e); });
    }
    // After the last token, [n_vocab], to read and to edit; empty where there are none. Borrowed until the next call in
    // the session.
    std::span<float> logits() noexcept {
        size_t n = 0;
        float* logits = elver_session_logits(c(), &n);
        return {logits, n};
    }

    // Begin an answer; pull it with next() or events(). The request is JSON; progress as Model::load()'s.
    Outcome<void> chat(std::string_view request) {
        return detail::outcome(
            [&](elver_error** e) { return elver_session_chat(c(), request.data(), request.size(), nullptr, e); });
    }
    template <class F>
    Outcome<void> chat(std::string_view request, F&& progress) {
        return begin(elver_session_chat, request, progress);
    }
    Outcome<void> complete(std::string_view request) {
        return detail::outcome(
            [&](elver_error** e) { return elver_session_complete(c(), request.data(), request.size(), nullptr, e); });
    }
    template <class F>
    Outcome<void> complete(std::string_view request, F&& progress) {
        return begin(elver_session_complete, request, progress);
    }
    // The same, but the prompt is read by the calls that pull the answer: the first next(), or step().
    Outcome<void> chat_deferred(std::string_view request) { return defer(elver_session_chat, request); }
    Outcome<void> complete_deferred(std::string_view request) { return defer(elver_session_complete, request); }
    Outcome<Event> next() {
        elver_event e = ELVER_EVENT_INIT;
        return detail::outcome<Event>([&](elver_error** error) { return elver_session_next(c(), &e, error); },
                                      [&] { return Event(e); });
    }
    // The rest of the answer, its last event included, as a range that pulls. The session must outlive it.
    Events events() noexcept;

    Outcome<void> rewind(int32_t position) {
        return detail::outcome([&](elver_error** e) { return elver_session_rewind(c(), position, e); });
    }
    Outcome<void> save(const elver_sink& sink) {
        return detail::outcome([&](elver_error** e) { return elver_session_save(c(), &sink, e); });
    }
    Outcome<void> save(std::string_view path) { return save(detail::path_sink(path)); }
    Outcome<void> restore(const elver_source& source) {
        return detail::outcome([&](elver_error** e) { return elver_session_restore(c(), &source, e); });
    }
    Outcome<void> restore(std::string_view path) { return restore(detail::path_source(path)); }
    // A session of its own that holds the same.
    Outcome<Session> fork(elver_go_on go_on = nullptr, void* context = nullptr) {
        elver_session* out = nullptr;
        return detail::outcome<Session>(
            [&](elver_error** e) { return elver_session_fork(c(), go_on, context, &out, e); },
            [&] { return Session(out); });
    }
    int32_t position() const noexcept { return elver_session_position(c()); }
    int32_t n_ctx() const noexcept { return elver_session_n_ctx(c()); }
    void cancel() noexcept { elver_session_cancel(c()); }        // from any thread
    elver_session* c() const noexcept { return handle_.get(); }  // borrowed

  private:
    template <class F>
    Outcome<void> prefill_logits(const Input& input, const size_t* wanted, size_t n_wanted, F& on_logits) {
        detail::Callback<F> call(on_logits);
        elver_prefill_options options = ELVER_PREFILL_OPTIONS_INIT;
        options.on_logits = call.logits;
        options.context = call.context();
        options.wanted = wanted;
        options.n_wanted = n_wanted;
        return detail::outcome([&](elver_error** e) {
            const elver_status status = elver_session_prefill(c(), input.c(), &options, e);
            call.rethrow(*e);
            return status;
        });
    }
    // after(error) runs when the call has returned.
    template <class After>
    Outcome<std::vector<float>> embed_with(const Input& input, const elver_embed_options& options, After&& after) {
        std::vector<float> out(static_cast<size_t>(elver_model_width(elver_session_model(c()))));
        return detail::outcome<std::vector<float>>(
            [&](elver_error** e) {
                const elver_status status = elver_session_embed(c(), input.c(), &options, out.data(), out.size(), e);
                after(*e);
                return status;
            },
            [&] { return std::move(out); });
    }
    Outcome<void> defer(decltype(elver_session_chat)* function, std::string_view request) {
        elver_answer_options options = ELVER_ANSWER_OPTIONS_INIT;
        options.deferred = 1;
        return detail::outcome(
            [&](elver_error** e) { return function(c(), request.data(), request.size(), &options, e); });
    }
    template <class F>
    Outcome<void> begin(decltype(elver_session_chat)* function, std::string_view request, F& progress) {
        detail::Callback<F> call(progress);
        elver_answer_options options = ELVER_ANSWER_OPTIONS_INIT;
        options.progress = call.progress;
        options.context = call.context();
        return detail::outcome([&](elver_error** e) {
            const elver_status status = function(c(), request.data(), request.size(), &options, e);
            call.rethrow(*e);
            return status;
        });
    }

    detail::Handle<elver_session, elver_session_release> handle_;
};
static_assert(sizeof(Session) == sizeof(void*));

// Brings the answers of many sessions of one model forward by a single pass; see elver_model_step. The next event of
// each, or its error, in their order.
inline Outcome<std::vector<Expected<Event>>> step(const Model& model, std::span<Session* const> sessions) {
    std::vector<elver_event> events(sessions.size(), ELVER_EVENT_INIT);
    std::vector<elver_step_item> items(sessions.size(), ELVER_STEP_ITEM_INIT);
    for (size_t i = 0; i < items.size(); ++i) {
        items[i].session = sessions[i]->c();
        items[i].event = &events[i];
    }
    return detail::outcome<std::vector<Expected<Event>>>(
        [&](elver_error** e) {
            return elver_model_step(model.c(), items.data(), items.size(), sizeof(elver_step_item), e);
        },
        [&] {
            std::vector<Expected<Event>> out;
            for (size_t i = 0; i < items.size(); ++i) {
                const auto status = static_cast<elver_status>(items[i].status);
                if (status == ELVER_OK)
                    out.emplace_back(Event(events[i]));
                else
                    out.emplace_back(Error(status, items[i].error));
            }
            return out;
        });
}

// An input range of events: of Event, or of Expected<Event> without exceptions. It ends after the last event or an
// error.
class Events {
  public:
    class Iterator {
      public:
        using value_type = Outcome<Event>;
        using difference_type = std::ptrdiff_t;
        explicit Iterator(Events* events) noexcept : events_(events) {}
        value_type& operator*() const noexcept { return *events_->event_; }
        Iterator& operator++() {
            events_->advance();
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(std::default_sentinel_t) const noexcept { return !events_->event_; }

      private:
        Events* events_;
    };

    explicit Events(Session& session) noexcept : session_(&session) {}
    Iterator begin() {
        if (!begun_) advance();
        return Iterator(this);
    }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    void advance() {
        begun_ = true;
        const bool ended = ended_;
        event_.reset();
        if (ended) return;
        event_.emplace(session_->next());
#if ELVER_HPP_EXCEPTIONS
        ended_ = event_->last();
#else
        ended_ = !*event_ || (*event_)->last();
#endif
    }

    Session* session_;
    std::optional<Outcome<Event>> event_;
    bool begun_ = false, ended_ = false;
};
static_assert(std::input_iterator<Events::Iterator>);

// Writes a model of well-known dimensions ("llama-1b:q4_0") with random weights; n_layers 0: as many as fit.
template <class F>
Outcome<void> write_synth(std::string_view name, int32_t n_layers, const elver_sink& sink, F&& progress) {
    elver_synth_options options = ELVER_SYNTH_OPTIONS_INIT;
    options.name = name.data();
    options.name_size = name.size();
    options.n_layers = n_layers;
    return detail::reporting(options, progress, [&](elver_error** e) { return elver_model_synth(&sink, &options, e); });
}

inline Events Session::events() noexcept {
    return Events(*this);
}

// Writes a model with its matrices in another element type, as "Q4_K". progress: fraction -> false to cancel; or
// nothing.
template <class F>
Outcome<void> quantize(const elver_source& from, const elver_sink& to, std::string_view type, F&& progress,
                       int32_t n_threads = 0) {
    elver_quantize_options options = ELVER_QUANTIZE_OPTIONS_INIT;
    options.type = type.data();
    options.type_size = type.size();
    options.n_threads = n_threads;
    return detail::reporting(options, progress,
                             [&](elver_error** e) { return elver_model_quantize(&from, &to, &options, e); });
}
template <class F>
Outcome<void> quantize(std::string_view from, std::string_view to, std::string_view type, F&& progress,
                       int32_t n_threads = 0) {
    return quantize(detail::path_source(from), detail::path_sink(to), type, std::forward<F>(progress), n_threads);
}

}  // namespace ELVER_HPP_NAMESPACE
}  // namespace elver
