// How a model's authors want its tokens chosen, for files that do not say it themselves.
#include <algorithm>
#include <cctype>

#include "commands.hpp"

namespace elver::cli {

namespace {

struct Card {
    const char *architecture,
        *name;  // what general.architecture is and what the name has in it; the first row that fits
    double temperature, top_p;
    int top_k;  // 0: all
    double repetition_penalty;
    const char* page;  // the model card, or the generation_config.json beside it
};

constexpr Card cards[] = {
    {"llama", "smollm2", 0.2, 0.9, 0, 1, "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct"},
    {"llama", "llama 3", 0.6, 0.9, 0, 1, "https://huggingface.co/meta-llama/Llama-3.2-1B-Instruct"},
    {"gemma3", "", 1, 0.95, 64, 1, "https://huggingface.co/google/gemma-3-270m-it"},
    {"qwen2", "qwen2.5 0.5b", 0.7, 0.8, 20, 1.1, "https://huggingface.co/Qwen/Qwen2.5-0.5B-Instruct"},
    {"qwen2", "qwen2.5", 0.7, 0.8, 20, 1.05, "https://huggingface.co/Qwen/Qwen2.5-7B-Instruct"},
    {"qwen3", "", 0.6, 0.95, 20, 1, "https://huggingface.co/Qwen/Qwen3-0.6B"},
    {"qwen3moe", "", 0.6, 0.95, 20, 1, "https://huggingface.co/Qwen/Qwen3-30B-A3B"},
};

// What a GGUF file calls fields of a request, behind "general.sampling."; the others have the request's own names.
constexpr std::string_view file_names[][2] = {
    {"temp", "temperature"},
    {"penalty_repeat", "repetition_penalty"},
    {"penalty_freq", "frequency_penalty"},
    {"penalty_present", "presence_penalty"},
    {"penalty_last_n", "penalty_window"},
    {"sequence", "samplers"},
};

// What the file itself says, which the library goes by without being told.
Json of_file(const Json& metadata) {
    constexpr std::string_view prefix = "general.sampling.";
    Json out = Json::object();
    for (const auto& [key, value] : metadata.items()) {
        if (!key.starts_with(prefix)) continue;
        std::string field = key.substr(prefix.size());
        for (const auto& [name, of_request] : file_names) {
            if (field == name) field = of_request;
        }
        out[field] = value;
    }
    return out;
}

// Small letters, and spaces for dashes and underscores.
std::string plain(std::string name) {
    for (char& c : name)
        c = c == '-' || c == '_' ? ' ' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return name;
}

// Whether the words stand in the name: "llama 3" is in "Llama-3.2 1B", not in "LLaMA 30B".
bool names(const std::string& name, std::string_view words) {
    const size_t at = name.find(words);
    if (at == std::string::npos) return false;
    const size_t end = at + words.size();
    return words.empty() || end == name.size() || std::isalnum(static_cast<unsigned char>(name[end])) == 0;
}

}  // namespace

SamplingDefaults sampling_defaults(const Model& model) {
    const Json metadata = Json::parse(model.describe(ELVER_DESCRIBE_METADATA).view());
    if (Json values = of_file(metadata); !values.empty()) return {std::move(values), "file"};
    const auto text = [&](const char* key) {
        return metadata.contains(key) && metadata[key].is_string() ? metadata[key].get<std::string>() : "";
    };
    const std::string architecture = text("general.architecture"), name = plain(text("general.name")),
                      base = plain(text("general.basename") + " " + text("general.size_label"));
    for (const Card& card : cards) {
        if (architecture != card.architecture || (!names(name, card.name) && !names(base, card.name))) continue;
        Json values{{"temperature", card.temperature}, {"top_p", card.top_p}};
        if (card.top_k > 0) values["top_k"] = card.top_k;
        if (card.repetition_penalty != 1) values["repetition_penalty"] = card.repetition_penalty;
        return {std::move(values), card.page};
    }
    return {{{"temperature", 0.7}}, "elver"};
}

}  // namespace elver::cli
