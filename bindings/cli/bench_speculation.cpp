// What drafted tokens save: the same requests with and without, in turns. Two copy much of their prompt, one nothing.
#include <chrono>
#include <stdexcept>

#include "bench.hpp"

namespace elver::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* passage =
    "The lighthouse stood at the end of a long spit of sand, and for eleven years Marit had kept its lamp. Each "
    "evening "
    "she climbed the ninety-two steps with a can of oil, trimmed the wick, wound the clockwork that turned the lens, "
    "and "
    "wrote the hour in a ledger bound in green cloth. In winter the spray froze on the railing and she went up on her "
    "hands and knees. In summer the windows stood open, and moths the size of coins beat against the glass. Ships "
    "passed "
    "that she knew by their lights alone: the coal steamer from the north on Tuesdays, the mail boat every second day, "
    "and once a year, in the first week of September, a white schooner that nobody in the village could name. It "
    "always "
    "dipped its flag to the tower, and she always answered with the lamp, three turns and a pause, as her father had "
    "taught her before he went to sea and did not come back.";

constexpr const char* code =
    "class Inventory:\n"
    "    def __init__(self):\n"
    "        self.items = {}\n"
    "        self.history = []\n"
    "\n"
    "    def add(self, name, count, price):\n"
    "        if count <= 0:\n"
    "            raise ValueError(\"count must be positive\")\n"
    "        if name in self.items:\n"
    "            self.items[name][\"count\"] += count\n"
    "            self.items[name][\"price\"] = price\n"
    "        else:\n"
    "            self.items[name] = {\"count\": count, \"price\": price}\n"
    "        self.history.append((\"add\", name, count))\n"
    "\n"
    "    def remove(self, name, count):\n"
    "        if name not in self.items:\n"
    "            raise KeyError(name)\n"
    "        if self.items[name][\"count\"] < count:\n"
    "            raise ValueError(\"not enough items\")\n"
    "        self.items[name][\"count\"] -= count\n"
    "        if self.items[name][\"count\"] == 0:\n"
    "            del self.items[name]\n"
    "        self.history.append((\"remove\", name, count))\n"
    "\n"
    "    def total(self):\n"
    "        result = 0\n"
    "        for name, item in self.items.items():\n"
    "            result += item[\"count\"] * item[\"price\"]\n"
    "        return result\n"
    "\n"
    "    def report(self):\n"
    "        for name, item in sorted(self.items.items()):\n"
    "            print(f\"{name}: {item['count']} at {item['price']}\")\n"
    "        print(f\"total: {self.total()}\")\n";

struct Task {
    const char* name;
    std::string question;
    double temperature;
};

struct Answer {
    std::vector<int32_t> ids;
    double seconds = 0;
};

Answer answer(Session& session, const Task& task, bool speculate, int n_tokens, int seed) {
    const Json messages = Json::array({{{"role", "user"}, {"content", task.question}}});
    session.chat(dump({{"messages", messages},
                       {"max_tokens", n_tokens},
                       {"temperature", task.temperature},
                       {"seed", seed},
                       {"speculate", speculate}}));
    Answer out;
    const auto start = Clock::now();
    for (auto event = session.next();; event = session.next()) {
        if (event.id >= 0) out.ids.push_back(event.id);
        if (event.last()) break;
    }
    out.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return out;
}

}  // namespace

Json bench_speculation(const Model& model, const Options& o) {
    const std::string quote = std::string("Repeat this text word for word:\n\n") + passage;
    const std::string edit =
        std::string("Rename the method \"total\" to \"total_price\". Answer with the whole file.\n\n```python\n") +
        code + "```";
    const Task tasks[] = {{"quote", quote, 0},
                          {"edit", edit, 0},
                          {"quote at temperature 1", quote, 1},
                          {"story", "Tell me a story about a dragon who learns to bake bread.", 1}};
    elver_session_options options = session_options(o);
    Json out = Json::array();
    for (const Task& task : tasks) {
        std::vector<double> plain, drafted, gains, n_tokens;
        for (int round = 0; round <= o.repeat; ++round) {
            Answer both[2];
            for (const bool speculate : {round % 2 == 0, round % 2 != 0}) {
                Session session(model, options);
                both[speculate] = answer(session, task, speculate, std::max(o.generate_tokens, 200), round);
            }
            if (both[0].ids != both[1].ids)
                throw std::runtime_error(std::string("speculation changed the answer to ") + task.name);
            if (round == 0 || both[0].ids.empty()) continue;
            const auto n = static_cast<double>(both[0].ids.size());
            n_tokens.push_back(n);
            plain.push_back(n / both[0].seconds);
            drafted.push_back(n / both[1].seconds);
            gains.push_back(both[0].seconds / both[1].seconds);
        }
        if (gains.empty()) continue;
        out.push_back({{"task", task.name},
                       {"tokens", median(n_tokens)},
                       {"tokens_per_s", median(drafted)},
                       {"without", median(plain)},
                       {"gain", median(gains)}});
    }
    return out;
}

}  // namespace elver::cli
