#include "line_editor.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/utf8.hpp"

namespace elver::cli {

namespace {

constexpr int control(char letter) {
    return letter & 31;
}
constexpr int escape = 27, erase_back = 127;

termios before;  // the terminal, while a line is edited
volatile std::sig_atomic_t raw = 0;

// Keys come one by one and unechoed; Ctrl-C and Ctrl-Z are keys.
bool make_raw() {
    if (tcgetattr(STDIN_FILENO, &before) != 0) return false;
    termios t = before;
    t.c_iflag &= ~static_cast<tcflag_t>(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
    t.c_oflag &= ~static_cast<tcflag_t>(OPOST);
    t.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | IEXTEN | ISIG);
    t.c_cflag |= CS8;
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    raw = 1;
    return tcsetattr(STDIN_FILENO, TCSADRAIN, &t) == 0;
}

void put(std::string_view text) {
    while (!text.empty()) {
        const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
        if (n < 0 && errno != EINTR) return;
        if (n > 0) text.remove_prefix(static_cast<size_t>(n));
    }
}

struct Size {
    int rows = 24, columns = 80;
};

Size terminal_size() {
    winsize w{};
    Size size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 && w.ws_row > 0) size = {w.ws_row, w.ws_col};
    return size;
}

// Also those of Latin-1's second half: to some terminals they are commands.
bool is_control(utf8proc_int32_t code) {
    return code < 32 || (code >= 127 && code < 160);
}

// A character as a reader sees it: a code point with its accents, an emoji joined of several, a flag.
struct Cluster {
    size_t end;   // bytes
    int columns;  // that most terminals give it
};

Cluster next_cluster(std::string_view text, size_t at) {
    utf8proc_int32_t previous = -1, code = 0, state = 0;
    int columns = 0;
    while (at < text.size()) {
        const auto n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                        static_cast<utf8proc_ssize_t>(text.size() - at), &code);
        if (previous >= 0 && !utf8proc_grapheme_break_stateful(previous, code, &state)) {
            at += static_cast<size_t>(n);
            // An emoji's variant and a flag's second half widen what was narrow.
            columns = code == 0xfe0f || (code >= 0x1f1e6 && code <= 0x1f1ff)
                          ? 2
                          : std::max(columns, utf8proc_charwidth(code));
        } else {
            if (previous >= 0) break;
            at += static_cast<size_t>(n);
            columns = is_control(code) ? 2 : utf8proc_charwidth(code);
        }
        previous = code;
    }
    return {at, columns};
}

size_t cluster_before(std::string_view text, size_t cursor) {
    // Whether a character ends somewhere depends on what is before it, but never across the end of a line or far back.
    size_t at = cursor > 256 ? cursor - 256 : 0;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
    while (at < cursor) {
        const size_t next = next_cluster(text.substr(0, cursor), at).end;
        if (next >= cursor) return at;
        at = next;
    }
    return at;
}

// Bytes of a character that begins with this one; 1 where none does.
size_t length_of(int first) {
    return first < 0xc2 || first > 0xf4 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\t';
}
size_t word_before(std::string_view text, size_t at) {
    while (at > 0 && is_space(text[at - 1])) --at;
    while (at > 0 && !is_space(text[at - 1])) --at;
    return at;
}
size_t word_after(std::string_view text, size_t at) {
    while (at < text.size() && is_space(text[at])) ++at;
    while (at < text.size() && !is_space(text[at])) ++at;
    return at;
}

// Lays text out in rows of the terminal and keeps those that are to be shown.
class Rows {
  public:
    explicit Rows(Size size) : size_(size), starts_{0} {}
    void add(std::string_view text) {
        for (size_t at = 0; at < text.size();) {
            const Cluster c = next_cluster(text, at);
            const std::string_view shown = text.substr(at, c.end - at);
            at = c.end;
            if (shown == "\n") {
                out_ += "\r\n";
                next_row();
                continue;
            }
            if (column_ + c.columns > size_.columns) next_row();
            const auto first = static_cast<unsigned char>(shown[0]);
            if (first < 32 || first == 127)
                out_ += {'^', static_cast<char>(first ^ 64)};
            else if (first == 0xc2 && static_cast<unsigned char>(shown[1]) < 0xa0)
                out_ += "^?";
            else
                out_ += shown;
            column_ += c.columns;
        }
    }
    // A full row takes the cursor to the next one only here: a terminal waits for one more character.
    void end() {
        if (column_ < size_.columns) return;
        out_ += "\r\n";
        next_row();
    }
    int row() const { return static_cast<int>(starts_.size()) - 1; }
    std::string_view from_row(int row) const {
        return std::string_view(out_).substr(starts_[static_cast<size_t>(row)]);
    }

  private:
    void next_row() {
        starts_.push_back(out_.size());
        column_ = 0;
    }
    Size size_;
    std::string out_;
    std::vector<size_t> starts_;  // of the rows, in out_
    int column_ = 0;
};

}  // namespace

bool LineEditor::available() {
    const char* kind = std::getenv("TERM");
    return isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0 && kind != nullptr && *kind != '\0' &&
           std::string_view(kind) != "dumb";
}

void LineEditor::restore_terminal() noexcept {
    if (raw == 0) return;
    raw = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
}

int LineEditor::byte(int timeout_ms) {
    while (used_ == input_.size()) {
        pollfd ready{STDIN_FILENO, POLLIN, 0};
        const int n = poll(&ready, 1, timeout_ms);
        if (n == 0) return -1;
        char buffer[4096];
        const ssize_t got = n < 0 ? -1 : ::read(STDIN_FILENO, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR) {
            draw();  // the window has another size, or the program was stopped and goes on
            continue;
        }
        if (got <= 0) return -2;
        input_.assign(buffer, static_cast<size_t>(got));
        used_ = 0;
    }
    return static_cast<unsigned char>(input_[used_++]);
}

void LineEditor::insert(std::string_view text) {
    line_.insert(cursor_, text);
    cursor_ += text.size();
}

void LineEditor::erase(size_t from, size_t to) {
    line_.erase(from, to - from);
    cursor_ = from;
}

// A code point whose first byte came. A byte that does not go on with it begins the next.
void LineEditor::character(int first) {
    std::string bytes(1, static_cast<char>(first));
    while (bytes.size() < length_of(first)) {
        const int next = byte(1000);
        if (next < 0) break;
        if ((next & 0xc0) != 0x80) {
            --used_;
            break;
        }
        bytes += static_cast<char>(next);
    }
    insert(replace_invalid_utf8(bytes));
}

// Up to the end of what is pasted: line ends are text here.
void LineEditor::paste() {
    constexpr std::string_view end = "\x1b[201~";
    std::string pasted;
    for (int next = byte(); next >= 0; next = byte()) {
        if (next == '\n' && pasted.ends_with('\r')) pasted.pop_back();
        pasted += static_cast<char>(next);
        if (pasted.ends_with(end)) break;
    }
    if (pasted.ends_with(end)) pasted.resize(pasted.size() - end.size());
    std::replace(pasted.begin(), pasted.end(), '\r', '\n');
    insert(replace_invalid_utf8(pasted));
}

void LineEditor::recall(size_t entry) {
    if (entry > history_.size()) return;
    if (entry_ == history_.size()) new_line_ = line_;
    entry_ = entry;
    line_ = entry == history_.size() ? new_line_ : history_[entry];
    cursor_ = line_.size();
}

void LineEditor::tilde_key(int number) {
    switch (number) {
        case 1:
        case 7:
            cursor_ = 0;
            break;
        case 4:
        case 8:
            cursor_ = line_.size();
            break;
        case 3:
            erase(cursor_, next_cluster(line_, cursor_).end);
            break;
        case 200:
            paste();
            break;
        default:
            break;
    }
}

// What follows Escape. A lone Escape does nothing.
void LineEditor::escape_sequence() {
    int next = byte(50);
    if (next == 'b') cursor_ = word_before(line_, cursor_);
    if (next == 'f') cursor_ = word_after(line_, cursor_);
    if (next == 'd') erase(cursor_, word_after(line_, cursor_));
    if (next == erase_back) erase(word_before(line_, cursor_), cursor_);
    if (next != '[' && next != 'O') return;
    int number = 0, modifier = 0;
    bool second = false;
    while (((next = byte(50)) >= '0' && next <= '9') || next == ';') {
        int& n = second ? modifier : number;
        if (next == ';')
            second = true;
        else
            n = std::min(n * 10 + next - '0', 1000);
    }
    switch (next) {
        case 'A':
            recall(entry_ - 1);
            break;
        case 'B':
            recall(entry_ + 1);
            break;
        case 'C':
            cursor_ = modifier > 1 ? word_after(line_, cursor_) : next_cluster(line_, cursor_).end;
            break;
        case 'D':
            cursor_ = modifier > 1 ? word_before(line_, cursor_) : cluster_before(line_, cursor_);
            break;
        case 'H':
            cursor_ = 0;
            break;
        case 'F':
            cursor_ = line_.size();
            break;
        case '~':
            tilde_key(number);
            break;
        default:
            break;
    }
}

void LineEditor::suspend() {
    put("\r\n");
    restore_terminal();
    std::raise(SIGTSTP);
    make_raw();
    cursor_row_ = 0;
}

// Does what a key says; true at the line's end.
bool LineEditor::key(int byte, End& end) {
    const auto kill = [this](size_t from, size_t to) {
        killed_ = line_.substr(from, to - from);
        erase(from, to);
    };
    switch (byte) {
        case '\r':
        case '\n':
            return end = End::line, true;
        case control('C'):
            return end = End::interrupted, true;
        case control('D'):
            if (line_.empty()) return end = End::closed, true;
            erase(cursor_, next_cluster(line_, cursor_).end);
            break;
        case control('A'):
            cursor_ = 0;
            break;
        case control('E'):
            cursor_ = line_.size();
            break;
        case control('B'):
            cursor_ = cluster_before(line_, cursor_);
            break;
        case control('F'):
            cursor_ = next_cluster(line_, cursor_).end;
            break;
        case control('H'):
        case erase_back:
            erase(cluster_before(line_, cursor_), cursor_);
            break;
        case control('K'):
            kill(cursor_, line_.size());
            break;
        case control('U'):
            kill(0, cursor_);
            break;
        case control('W'):
            kill(word_before(line_, cursor_), cursor_);
            break;
        case control('Y'):
            insert(killed_);
            break;
        case control('P'):
            recall(entry_ - 1);
            break;
        case control('N'):
            recall(entry_ + 1);
            break;
        case control('L'):
            put("\x1b[H\x1b[2J");
            cursor_row_ = 0;
            break;
        case control('Z'):
            suspend();
            break;
        case escape:
            escape_sequence();
            break;
        case '\t':
            insert("    ");
            break;
        default:
            if (byte >= ' ') character(byte);
            break;
    }
    return false;
}

// Shows prompt and line, or the rows of them around the cursor that fit the screen. The text before the cursor is
// written twice: so the cursor comes to stand where this terminal puts it, whatever it takes a character's width for.
void LineEditor::draw() {
    const Size size = terminal_size();
    const std::string_view line = line_;
    Rows to_cursor(size), all(size);
    to_cursor.add(prompt_), to_cursor.add(line.substr(0, cursor_)), to_cursor.end();
    all.add(prompt_), all.add(line), all.end();
    const int cursor_row = to_cursor.row();
    const int first = std::max(0, cursor_row - size.rows + 1), last = std::min(all.row(), first + size.rows - 1);
    const auto up = [](int rows) { return rows > 0 ? "\x1b[" + std::to_string(rows) + "A\r" : std::string("\r"); };
    std::string out = up(cursor_row_) + "\x1b[J";
    std::string_view shown = all.from_row(first);
    if (last < all.row()) {
        shown.remove_suffix(all.from_row(last + 1).size());
        if (shown.ends_with("\r\n")) shown.remove_suffix(2);
    }
    out += shown;
    if (cursor_ < line_.size()) out.append(up(last - first)).append(to_cursor.from_row(first));
    put(out);
    cursor_row_ = cursor_row - first;
}

void LineEditor::draw_if_idle() {
    if (used_ == input_.size()) draw();
}

LineEditor::End LineEditor::read(std::string_view prompt, std::string& line) {
    prompt_ = prompt;
    line_.clear(), killed_.clear();
    cursor_ = 0, cursor_row_ = 0, entry_ = history_.size();
    struct sigaction resized {
    }, old{};
    resized.sa_handler = [](int) {};  // without SA_RESTART: the reading wakes up and draws anew
    sigaction(SIGWINCH, &resized, &old);
    End end = End::closed;
    std::fflush(stdout);
    if (make_raw()) {
        put("\x1b[?2004h");  // pasted text comes marked
        draw();
        for (int next = byte(); next >= 0 && !key(next, end); next = byte()) draw_if_idle();
        if (end == End::line) cursor_ = line_.size();
        draw();
        put("\r\n\x1b[?2004l");
    }
    restore_terminal();
    sigaction(SIGWINCH, &old, nullptr);
    line = std::exchange(line_, {});
    return end;
}

}  // namespace elver::cli
