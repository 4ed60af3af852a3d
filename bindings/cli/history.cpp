#include "history.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "commands.hpp"

namespace elver::cli {

namespace {
constexpr size_t most_questions = 1000;
constexpr size_t longest_question = 1 << 16;  // bytes: what is longer was not typed and is not kept
constexpr std::string_view first_line = "# Questions to elver chat, oldest first: a JSON text a line.\n";
}  // namespace

History::History() {
    const char* state = std::getenv("XDG_STATE_HOME");
    const char* home = std::getenv("HOME");
    std::filesystem::path folder;
    if (state != nullptr && *state != '\0')
        folder = state;
    else if (home != nullptr && *home != '\0')
        folder = std::filesystem::path(home) / ".local/state";
    else
        return;
    umask(077);
    std::error_code failed;
    std::filesystem::create_directories(folder / "elver", failed);
    if (!failed) path_ = (folder / "elver/history").string();
}

std::vector<std::string> History::questions() const {
    std::vector<std::string> out;
    std::ifstream in(path_, std::ios::binary);
    for (std::string line; std::getline(in, line);) {
        const Json question = Json::parse(line, nullptr, false);
        if (question.is_string()) out.push_back(question.get<std::string>());
    }
    if (out.size() > most_questions) out.erase(out.begin(), out.end() - most_questions);
    return out;
}

void History::add(const std::string& question) const {
    if (path_.empty() || question.size() > longest_question) return;
    // One write at the end: conversations side by side do not disturb each other.
    const int file = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) return;
    struct stat status {};
    std::string text;
    if (fstat(file, &status) == 0 && status.st_size == 0) text = first_line;
    text += dump(Json(question)) + "\n";
    // A history that cannot be kept is no reason to end a conversation.
    [[maybe_unused]] const ssize_t written = ::write(file, text.data(), text.size());
    ::close(file);
}

}  // namespace elver::cli
