#include "chat/template.hpp"

#include <nlohmann/json.hpp>

namespace elver {
struct ChatTemplate::Impl {};
Result<ChatTemplate> ChatTemplate::parse(std::string) { return Error(Status::unsupported, "chat templates are not built yet"); }
Result<std::string> ChatTemplate::render(const nlohmann::ordered_json&) const { return Error(Status::unsupported, "chat templates are not built yet"); }
}  // namespace elver
