#include "jinja/python/clock.hpp"

#include <chrono>
#include <cmath>
#include <ctime>

#include "base/text.hpp"

namespace elver::jinja {
namespace {

constexpr std::string_view months[] = {"January", "February", "March",     "April",   "May",      "June",
                                       "July",    "August",   "September", "October", "November", "December"};
constexpr std::string_view days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

std::chrono::sys_days days_since_1970(int year, int month, int day) {
    using namespace std::chrono;
    return sys_days(std::chrono::year(year) / std::chrono::month(static_cast<unsigned>(month)) /
                    std::chrono::day(static_cast<unsigned>(day)));
}

// A directive that is a number, and its digits.
struct Number {
    char directive;
    int value, width;
};

}  // namespace

LocalTime now_local() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto time = from_unix_seconds(std::chrono::duration<double>(now).count());
    return time ? *time : LocalTime();
}

Result<LocalTime> from_unix_seconds(double seconds) {
    std::tm tm{};
    const bool in_range = std::fabs(seconds) < 2.5e11;
    const auto t = static_cast<std::time_t>(in_range ? std::floor(seconds) : 0);
    if (!in_range || !localtime_r(&t, &tm)) return Error(Status::invalid_argument, "variable \"now\" is out of range");
    return LocalTime{tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec};
}

std::optional<LocalTime> parse_iso_time(std::string_view text) {
    const auto skip = [&](std::string_view any) {
        if (text.empty() || any.find(text[0]) == std::string_view::npos) return false;
        text.remove_prefix(1);
        return true;
    };
    const auto field = [&](int& into, size_t n) {
        into = 0;
        for (size_t i = 0; i < n; ++i) {
            const char c = text.empty() ? ' ' : text[0];
            if (!skip("0123456789")) return false;
            into = into * 10 + (c - '0');
        }
        return true;
    };
    LocalTime t;
    if (!field(t.year, 4) || !skip("-") || !field(t.month, 2) || !skip("-") || !field(t.day, 2)) return std::nullopt;
    if (!text.empty()) {
        if (!skip("T ") || !field(t.hour, 2) || !skip(":") || !field(t.minute, 2)) return std::nullopt;
        if (skip(":") && !field(t.second, 2)) return std::nullopt;
        if (skip(".")) {
            while (skip("0123456789")) continue;  // parts of a second
        }
    }
    const bool zone = text.empty() || text == "Z" || text[0] == '+' || text[0] == '-';
    using namespace std::chrono;
    const bool valid = (year(t.year) / month(static_cast<unsigned>(t.month)) / day(static_cast<unsigned>(t.day))).ok();
    if (!zone || !valid || t.hour > 23 || t.minute > 59 || t.second > 60) return std::nullopt;
    return t;
}

Result<std::string> format_time(const LocalTime& t, std::string_view format) {
    const auto today = days_since_1970(t.year, t.month, t.day);
    const std::string_view month = months[t.month - 1], weekday = days[std::chrono::weekday(today).c_encoding()];
    const Number numbers[] = {
        {'Y', t.year, 1},
        {'y', t.year % 100, 2},
        {'m', t.month, 2},
        {'d', t.day, 2},
        {'H', t.hour, 2},
        {'I', (t.hour + 11) % 12 + 1, 2},
        {'M', t.minute, 2},
        {'S', t.second, 2},
        {'j', static_cast<int>((today - days_since_1970(t.year, 1, 1)).count()) + 1, 3},
    };
    const std::pair<char, std::string_view> texts[] = {
        {'B', month},
        {'b', month.substr(0, 3)},
        {'A', weekday},
        {'a', weekday.substr(0, 3)},
        {'p', t.hour < 12 ? "AM" : "PM"},
        {'%', "%"},
    };
    std::string out;
    for (size_t i = 0; i < format.size(); ++i) {
        if (format[i] != '%' || i + 1 == format.size()) {
            out.push_back(format[i]);
            continue;
        }
        const bool unpadded = format[i + 1] == '-' && i + 2 < format.size();  // %-d
        const char c = format[i += unpadded ? 2 : 1];
        bool known = false;
        for (const Number& n : numbers) {
            if (n.directive != c) continue;
            const std::string digits = std::to_string(n.value);
            const size_t width = unpadded ? 0 : static_cast<size_t>(n.width);
            out.append(digits.size() < width ? width - digits.size() : 0, '0').append(digits);
            known = true;
        }
        for (const auto& [directive, text] : texts) {
            if (directive != c) continue;
            out += text;
            known = true;
        }
        if (!known) return Error(Status::unsupported, cat("strftime directive %", c, " is not supported"));
    }
    return out;
}

}  // namespace elver::jinja
