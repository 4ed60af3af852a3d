// A line typed at a terminal, edited by what its reader sees as characters. Everything is UTF-8, whatever the locale
// is.
#pragma once

#include <termios.h>

#include <string>
#include <string_view>
#include <vector>

namespace elver::cli {

class LineEditor {
  public:
    enum class End { line, interrupted, closed };  // Enter; Ctrl-C; Ctrl-D in an empty line, or no terminal any more

    // Whether standard input and output are a terminal that can be edited on.
    static bool available();
    // Puts the terminal back as it was before the line that is being edited, if one is. Safe in a signal handler.
    static void restore_terminal() noexcept;

    // Reads a line, without its end. What is no UTF-8 becomes U+FFFD. A pasted text may hold several lines.
    End read(std::string_view prompt, std::string& line);
    // What the arrow up brings back, oldest first.
    void remember(std::string line) { history_.push_back(std::move(line)); }

  private:
    int byte(int timeout_ms = -1);  // the next from the keyboard; -1: none came in time, -2: the end
    void character(int first);
    void escape_sequence();
    void tilde_key(int number);
    bool key(int byte, End& end);
    void paste();
    void insert(std::string_view text);
    void erase(size_t from, size_t to);
    void recall(size_t entry);
    void suspend();
    void draw();
    void draw_if_idle();

    std::string_view prompt_;
    std::string line_;
    size_t cursor_ = 0;   // a byte of line_, at a character's beginning
    int cursor_row_ = 0;  // where the cursor stands, in rows below the prompt's first
    std::string killed_;  // what Ctrl-K, Ctrl-U and Ctrl-W took last
    std::vector<std::string> history_;
    size_t entry_ = 0;      // of the history, or its size: the new line
    std::string new_line_;  // as it was when the arrow up left it
    std::string input_;     // read and not used yet
    size_t used_ = 0;
};

}  // namespace elver::cli
