// Texts that know where they come from. What stands in the template is the template's; everything else was typed: the
// values of the caller's variables, and whatever is computed in a way that loses track of single bytes. A tokenizer may
// read control tokens in the template's part only.
#pragma once

#include <string>
#include <string_view>

#include "base/ranges.hpp"

namespace elver::jinja {

struct Text {
    std::string bytes;
    Ranges typed;

    // The whole of it has one origin.
    static Text of_template(std::string bytes) { return {std::move(bytes), {}}; }
    static Text of_people(std::string bytes) {
        Ranges all(0, bytes.size());
        return {std::move(bytes), std::move(all)};
    }
    // A text computed from others, of which any_typed says whether one holds typed bytes.
    static Text computed(std::string bytes, bool any_typed) {
        return any_typed ? of_people(std::move(bytes)) : of_template(std::move(bytes));
    }

    void append(const Text& more) { append(more, more.bytes); }
    // part must lie within the bytes of whole.
    void append(const Text& whole, std::string_view part) {
        if (part.empty()) return;
        const auto begin = static_cast<size_t>(part.data() - whole.bytes.data());
        typed.add(whole.typed, begin, begin + part.size(), bytes.size());
        bytes.append(part);
    }
    void append_typed(std::string_view more) {
        typed.add(bytes.size(), bytes.size() + more.size());
        bytes.append(more);
    }
    void append_own(std::string_view more) { bytes.append(more); }

    bool any_typed() const noexcept { return !typed.empty(); }
    // A part of the bytes with its origins.
    Text cut(std::string_view part) const {
        Text out;
        out.append(*this, part);
        return out;
    }
};

}  // namespace elver::jinja
