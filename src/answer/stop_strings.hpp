// Ends an answer at the first stop string, and never shows a part of one. The strings are searched for in the text with
// control tokens spelled out, although those are not shown: a stop string may be, or hold, a control token.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace elver {

class StopStrings {
  public:
    explicit StopStrings(const std::vector<std::string>& stops);

    // Takes the next piece of the text. What can no longer be part of a stop string, and is shown, is appended to out.
    // True: a stop string ends in this piece, out holds what is before it, and no more may be pushed. Of several the
    // one that ends first counts, whatever the pieces are.
    bool push(std::string_view piece, bool shown, std::string& out);
    // The text has ended: appends what waited.
    void finish(std::string& out);

  private:
    // Knuth, Morris and Pratt 1977: the number of bytes that match so far, and where to go on after a mismatch.
    struct Search {
        std::string text;
        std::vector<uint32_t> borders;  // of each prefix: its longest proper prefix that is also its suffix, in bytes
        size_t matched = 0;
        bool step(char c) noexcept;
    };
    // Moves the first n bytes that wait to out, the shown ones.
    void release(size_t n, std::string& out);

    std::vector<Search> searches_;
    std::string waiting_;
    std::vector<bool> shown_;  // of each byte that waits
};

}  // namespace elver
