// The questions of earlier conversations: a file of the user's alone, a JSON text a line, oldest first.
#pragma once

#include <string>
#include <vector>

namespace elver::cli {

class History {
  public:
    History();  // $XDG_STATE_HOME/elver/history, else ~/.local/state/elver/history; none where there is no place for it
    // The newest ones. Lines that hold no text are passed over.
    std::vector<std::string> questions() const;
    void add(const std::string& question) const;

  private:
    std::string path_;
};

}  // namespace elver::cli
