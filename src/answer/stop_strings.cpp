#include "answer/stop_strings.hpp"

#include <algorithm>

namespace elver {

StopStrings::StopStrings(const std::vector<std::string>& stops) {
    for (const std::string& stop : stops) {
        Search s{stop, std::vector<uint32_t>(stop.size(), 0)};
        for (size_t i = 1, border = 0; i < stop.size(); ++i) {
            while (border > 0 && stop[i] != stop[border]) border = s.borders[border - 1];
            border += stop[i] == stop[border] ? 1 : 0;
            s.borders[i] = static_cast<uint32_t>(border);
        }
        searches_.push_back(std::move(s));
    }
}

bool StopStrings::Search::step(char c) noexcept {
    while (matched > 0 && text[matched] != c) matched = borders[matched - 1];
    matched += text[matched] == c ? 1 : 0;
    return matched == text.size();
}

bool StopStrings::push(std::string_view piece, bool shown, std::string& out) {
    if (searches_.empty()) {
        if (shown) out += piece;
        return false;
    }
    for (const char c : piece) {
        waiting_ += c;
        shown_.push_back(shown);
        size_t found = 0;  // the longest stop string that ends here
        for (Search& s : searches_) {
            if (s.step(c)) found = std::max(found, s.text.size());
        }
        if (found > 0) {
            release(waiting_.size() - found, out);
            waiting_.clear();
            return true;
        }
    }
    size_t keep = 0;
    for (const Search& s : searches_) keep = std::max(keep, s.matched);
    release(waiting_.size() - keep, out);
    return false;
}

void StopStrings::finish(std::string& out) {
    release(waiting_.size(), out);
}

void StopStrings::release(size_t n, std::string& out) {
    for (size_t i = 0; i < n; ++i) {
        if (shown_[i]) out += waiting_[i];
    }
    waiting_.erase(0, n);
    shown_.erase(shown_.begin(), shown_.begin() + static_cast<std::ptrdiff_t>(n));
}

}  // namespace elver
