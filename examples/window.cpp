// window MODEL: a conversation in a window (FLTK). A thread of its own asks the model, so the window stays alive; the
// answer streams in, and Stop ends it.
#include <FL/Fl.H>
#include <FL/Fl_Button.H>
#include <FL/Fl_Double_Window.H>
#include <FL/Fl_Input.H>
#include <FL/Fl_Text_Display.H>

#include <atomic>
#include <elver/elver.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "conversation.hpp"

namespace {

// Runs `work` in the window's thread, soon.
template <class F>
void in_window(F work) {
    Fl::awake(
        [](void* context) {
            const std::unique_ptr<F> work(static_cast<F*>(context));
            (*work)();
        },
        new F(std::move(work)));
}

class ChatWindow : public Fl_Double_Window {
  public:
    explicit ChatWindow(elver::Session session)
        : Fl_Double_Window(480, 360, "elver"),
          shown_(10, 10, 460, 300),
          input_(10, 320, 370, 30),
          button_(390, 320, 80, 30, "Ask"),
          session_(std::move(session)) {
        shown_.buffer(&text_);
        shown_.wrap_mode(Fl_Text_Display::WRAP_AT_BOUNDS, 0);
        input_.when(FL_WHEN_ENTER_KEY_ALWAYS);
        const auto pressed = [](Fl_Widget*, void* self) { static_cast<ChatWindow*>(self)->pressed(); };
        input_.callback(pressed, this);
        button_.callback(pressed, this);
        resizable(shown_);
        end();
        input_.take_focus();
    }
    ~ChatWindow() override {
        session_.cancel();
        if (asking_.joinable()) asking_.join();
    }

  private:
    // Asks, or stops what is being answered.
    void pressed() {
        if (is_answering_) {
            is_stopped_ = true;
            session_.cancel();
            return;
        }
        const std::string question = input_.value();
        if (question.empty()) return;
        if (asking_.joinable()) asking_.join();
        input_.value("");
        append("> " + question + "\n");
        answering(true);
        is_stopped_ = false;
        asking_ = std::thread([this, question] { answer(question); });
    }

    // In a thread of its own.
    void answer(const std::string& question) {
        std::string whole;
        try {
            begin(question);
            for (const elver::Event& event : session_.events()) {
                whole += event.text;
                in_window([this, text = std::string(event.text)] { append(text); });
                if (event.finish == ELVER_FINISH_CANCELLED) in_window([this] { append(" [stopped]"); });
            }
            conversation_.add(question, whole);
        } catch (const elver::Error& error) {
            in_window([this, message = std::string(error.what())] { append("[" + message + "]"); });
        }
        in_window([this] {
            append("\n");
            answering(false);
        });
    }

    // A Stop that came as the answer before had just ended is kept for this one, which nobody stopped: begins again.
    void begin(const std::string& question) {
        try {
            session_.chat(conversation_.ask(question));
        } catch (const elver::Error& error) {
            if (error.status() != ELVER_CANCELLED || is_stopped_) throw;
            session_.chat(conversation_.ask(question));
        }
    }

    void append(const std::string& text) {
        text_.append(text.c_str());
        shown_.insert_position(text_.length());
        shown_.show_insert_position();
    }
    void answering(bool is) {
        is_answering_ = is;
        button_.label(is ? "Stop" : "Ask");
        button_.color(is ? FL_RED : FL_BACKGROUND_COLOR);
        redraw();
    }

    Fl_Text_Buffer text_;
    Fl_Text_Display shown_;
    Fl_Input input_;
    Fl_Button button_;
    elver::Session session_;
    Conversation conversation_;
    std::thread asking_;
    std::atomic<bool> is_stopped_{false};
    bool is_answering_ = false;  // the window's thread only
};

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 2) {
        std::cerr << "usage: window MODEL\n";
        return 2;
    }
    auto model = elver::Model::open(argv[1]);
    model.load();
    Fl::lock();  // FLTK: other threads will call Fl::awake()
    ChatWindow window((elver::Session(model)));
    window.show();
    return Fl::run();
} catch (const elver::Error& error) {
    std::cerr << "window: " << error.what() << "\n";
    return 1;
}
