// What a file calls each weight. A role is known by the name that GGUF files usually give it; a family or a file may
// have another name for it, or none.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace elver {

class TensorNames {
  public:
    // The usual names: the role's own, below blk.{layer} where each layer has one.
    TensorNames();

    // The name of a role's tensor in a layer, without .weight or .bias; empty: the model has none.
    std::string of(std::string_view role, int layer = 0) const;

    // Role and pattern, in the order of the forward pass; {layer} stands for the layer's number, from 0 on.
    const std::vector<std::pair<std::string, std::string>>& patterns() const noexcept { return patterns_; }
    // False if there is no such role.
    bool rename(std::string_view role, std::string pattern);
    // Gives a role the pattern that another role has by default.
    void lend(std::string_view role, std::string_view usual_role);

  private:
    std::vector<std::pair<std::string, std::string>> patterns_;
};

}  // namespace elver
