#include "base/json.hpp"

#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/text.hpp"

namespace elver {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t deepest = 200;
// Objects of more keys than this have an index while they are read: the library looks keys up one by one.
constexpr size_t few_keys = 16;

struct Builder : nlohmann::json_sax<Json> {
    Json root;
    size_t error_at = 0;
    bool too_deep = false;

    bool null() override { return put(nullptr), true; }
    bool boolean(bool v) override { return put(v), true; }
    bool number_integer(int64_t v) override { return put(v), true; }
    bool number_unsigned(uint64_t v) override { return put(v), true; }
    bool number_float(double v, const std::string&) override { return put(v), true; }
    bool string(std::string& v) override { return put(std::move(v)), true; }
    bool binary(Json::binary_t&) override { return false; }
    bool start_object(size_t) override { return begin(Json::object()); }
    bool start_array(size_t) override { return begin(Json::array()); }
    bool end_object() override { return open_.pop_back(), true; }
    bool end_array() override { return open_.pop_back(), true; }
    bool key(std::string& name) override {
        open_.back().slot = &slot_of(name);
        return true;
    }
    bool parse_error(size_t position, const std::string&, const Json::exception&) override {
        error_at = position;
        return false;
    }

  private:
    // An array or object that is being read. It does not grow while one inside it is read, so pointers stay valid.
    struct Open {
        Json* value;
        Json* slot = nullptr;                            // of an object: where the next value goes
        std::unordered_map<std::string, size_t> places;  // of an object with many keys
    };

    Json& slot_of(const std::string& name) {
        Open& open = open_.back();
        auto& pairs = open.value->get_ref<Json::object_t&>();
        if (pairs.size() < few_keys) {
            for (auto& [key, value] : pairs) {
                if (key == name) return value;
            }
        } else {
            if (open.places.empty()) {
                for (size_t i = 0; i < pairs.size(); ++i)
                    open.places.emplace(pairs.begin()[static_cast<std::ptrdiff_t>(i)].first, i);
            }
            const auto [it, is_new] = open.places.emplace(name, pairs.size());
            if (!is_new) return pairs.begin()[static_cast<std::ptrdiff_t>(it->second)].second;
        }
        pairs.push_back({name, Json()});
        return pairs.back().second;
    }
    Json& put(Json value) {
        if (open_.empty()) return root = std::move(value);
        Open& open = open_.back();
        if (open.value->is_object()) return *open.slot = std::move(value);
        auto& items = open.value->get_ref<Json::array_t&>();
        items.push_back(std::move(value));
        return items.back();
    }
    bool begin(Json value) {
        if (open_.size() == deepest) {
            too_deep = true;
            return false;
        }
        Json& placed = put(std::move(value));
        open_.push_back({&placed, nullptr, {}});
        return true;
    }

    std::vector<Open> open_;
};

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view what) {
    Builder builder;
    if (Json::sax_parse(text, &builder)) return std::move(builder.root);
    if (builder.too_deep)
        return Error(Status::invalid_argument, cat(what, ": nested more than ", deepest, " deep"), std::string(what));
    const size_t at = builder.error_at, from = at > 20 ? at - 20 : 0;
    return Error(Status::invalid_argument,
                 cat(what, ": not valid JSON at byte ", at, ", near ", in_quotes(text.substr(from, 40))),
                 std::string(what));
}

}  // namespace elver
