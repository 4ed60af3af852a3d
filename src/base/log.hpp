// The log of a host: lines that say what elver has chosen and noticed. Where the host gives no function there is none,
// and nothing is written anywhere else.
#pragma once

#include "base/text.hpp"

namespace elver {

enum class LogLevel : int {
    debug = 0,    // what happens while texts are computed
    info = 1,     // what was chosen
    warning = 2,  // what the host should know although the call succeeds
};

class Log {
  public:
    // Called on the thread of the call that the line is about, with no lock held.
    using Write = void (*)(int level, const char* line, size_t n_bytes, void* context);

    Log() = default;
    Log(Write function, void* context) noexcept : write_(function), context_(context) {}

    explicit operator bool() const noexcept { return write_ != nullptr; }
    // Joined as cat() does.
    template <class... Parts>
    void line(LogLevel level, const Parts&... parts) const {
        if (write_ != nullptr) write(level, cat(parts...));
    }
    // What the host's function throws goes no further.
    void write(LogLevel level, const std::string& line) const noexcept {
        if (write_ == nullptr) return;
        try {
            write_(static_cast<int>(level), line.c_str(), line.size(), context_);
        } catch (...) {
        }
    }

  private:
    Write write_ = nullptr;
    void* context_ = nullptr;
};

}  // namespace elver
