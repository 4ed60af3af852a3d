#include "jinja/clock.hpp"

#include <chrono>
#include <cmath>
#include <ctime>

#include "base/text.hpp"

namespace elver::jinja {
namespace {

constexpr std::string_view months[] = {"January", "February", "March",     "April",   "May",      "June",
                                       "July",    "August",   "September", "October", "November", "December"};
constexpr std::string_view days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

std::chrono::sys_days date_of(const LocalTime& t) {
    using namespace std::chrono;
    return sys_days(year(t.year) / month(static_cast<unsigned>(t.month)) / day(static_cast<unsigned>(t.day)));
}
unsigned weekday_of(const LocalTime& t) {
    return std::chrono::weekday(date_of(t)).c_encoding();
}  // Sunday is 0
int day_of_year(const LocalTime& t) {
    LocalTime first = t;
    first.month = first.day = 1;
    return static_cast<int>((date_of(t) - date_of(first)).count());
}

// Year and week by ISO 8601: the week belongs to the year of its Thursday.
std::pair<int, int> iso_week(const LocalTime& t) {
    const int from_monday = static_cast<int>((weekday_of(t) + 6) % 7);
    const auto thursday = date_of(t) + std::chrono::days(3 - from_monday);
    const std::chrono::year_month_day ymd(thursday);
    LocalTime x;
    x.year = static_cast<int>(ymd.year());
    x.month = static_cast<int>(static_cast<unsigned>(ymd.month()));
    x.day = static_cast<int>(static_cast<unsigned>(ymd.day()));
    return {x.year, day_of_year(x) / 7 + 1};
}

std::string padded(int value, int width, char fill) {
    std::string out = std::to_string(value);
    if (fill && out.size() < static_cast<size_t>(width)) out.insert(0, static_cast<size_t>(width) - out.size(), fill);
    return out;
}

}  // namespace

LocalTime now_local() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto time = from_unix_seconds(std::chrono::duration<double>(now).count());
    return time ? *time : LocalTime();
}

Result<LocalTime> from_unix_seconds(double seconds) {
    if (!(std::fabs(seconds) < 2.5e11)) return Error(Status::invalid_argument, "variable \"now\" is out of range");
    const double whole = std::floor(seconds);
    const auto t = static_cast<std::time_t>(whole);
    std::tm tm{};
    if (!localtime_r(&t, &tm)) return Error(Status::invalid_argument, "variable \"now\" is out of range");
    return LocalTime{tm.tm_year + 1900,
                     tm.tm_mon + 1,
                     tm.tm_mday,
                     tm.tm_hour,
                     tm.tm_min,
                     tm.tm_sec,
                     static_cast<int>((seconds - whole) * 1e6)};
}

std::optional<LocalTime> parse_iso_time(std::string_view text) {
    const auto number = [&](size_t n) -> std::optional<int> {
        if (text.size() < n) return std::nullopt;
        int value = 0;
        for (size_t i = 0; i < n; ++i) {
            if (text[i] < '0' || text[i] > '9') return std::nullopt;
            value = value * 10 + (text[i] - '0');
        }
        text.remove_prefix(n);
        return value;
    };
    const auto skip = [&](std::string_view any) {
        if (text.empty() || any.find(text[0]) == std::string_view::npos) return false;
        text.remove_prefix(1);
        return true;
    };
    LocalTime t;
    const auto field = [&](int& into, size_t n) {
        const auto value = number(n);
        if (value) into = *value;
        return value.has_value();
    };
    if (!field(t.year, 4) || !skip("-") || !field(t.month, 2) || !skip("-") || !field(t.day, 2)) return std::nullopt;
    if (!text.empty()) {
        if (!skip("T ") || !field(t.hour, 2) || !skip(":") || !field(t.minute, 2)) return std::nullopt;
        if (skip(":") && !field(t.second, 2)) return std::nullopt;
        if (skip(".")) {
            for (int scale = 100000; !text.empty() && text[0] >= '0' && text[0] <= '9'; scale /= 10) {
                t.microsecond += (text[0] - '0') * scale;
                text.remove_prefix(1);
            }
        }
    }
    const bool zone = text.empty() || text == "Z" || text[0] == '+' || text[0] == '-';
    using namespace std::chrono;
    const bool valid = (year(t.year) / month(static_cast<unsigned>(t.month)) / day(static_cast<unsigned>(t.day))).ok();
    if (!zone || !valid || t.hour > 23 || t.minute > 59 || t.second > 60) return std::nullopt;
    return t;
}

Result<std::string> format_time(const LocalTime& t, std::string_view format) {
    std::string out;
    const int hour12 = t.hour % 12 == 0 ? 12 : t.hour % 12;
    const int weekday = static_cast<int>(weekday_of(t));
    for (size_t i = 0; i < format.size(); ++i) {
        if (format[i] != '%' || i + 1 == format.size()) {
            out.push_back(format[i]);
            continue;
        }
        char c = format[++i];
        std::optional<char> fill;  // %-d: no padding, %_d: spaces
        if ((c == '-' || c == '_' || c == '0') && i + 1 < format.size()) {
            fill = c == '-' ? '\0' : c == '_' ? ' ' : '0';
            c = format[++i];
        }
        const auto number = [&](int value, int width, char usual = '0') {
            out += padded(value, width, fill.value_or(usual));
        };
        switch (c) {
            case 'Y':
                number(t.year, 1);
                break;
            case 'C':
                number(t.year / 100, 2);
                break;
            case 'y':
                number(t.year % 100, 2);
                break;
            case 'm':
                number(t.month, 2);
                break;
            case 'd':
                number(t.day, 2);
                break;
            case 'e':
                number(t.day, 2, ' ');
                break;
            case 'H':
                number(t.hour, 2);
                break;
            case 'k':
                number(t.hour, 2, ' ');
                break;
            case 'I':
                number(hour12, 2);
                break;
            case 'l':
                number(hour12, 2, ' ');
                break;
            case 'M':
                number(t.minute, 2);
                break;
            case 'S':
                number(t.second, 2);
                break;
            case 'f':
                number(t.microsecond, 6);
                break;
            case 'j':
                number(day_of_year(t) + 1, 3);
                break;
            case 'w':
                number(weekday, 1);
                break;
            case 'u':
                number(weekday == 0 ? 7 : weekday, 1);
                break;
            case 'U':
                number((day_of_year(t) + 7 - weekday) / 7, 2);
                break;
            case 'W':
                number((day_of_year(t) + 7 - (weekday + 6) % 7) / 7, 2);
                break;
            case 'G':
                number(iso_week(t).first, 4);
                break;
            case 'V':
                number(iso_week(t).second, 2);
                break;
            case 'B':
                out += months[t.month - 1];
                break;
            case 'b':
            case 'h':
                out += months[t.month - 1].substr(0, 3);
                break;
            case 'A':
                out += days[weekday];
                break;
            case 'a':
                out += days[weekday].substr(0, 3);
                break;
            case 'p':
                out += t.hour < 12 ? "AM" : "PM";
                break;
            case 'P':
                out += t.hour < 12 ? "am" : "pm";
                break;
            case 'F':
                out += *format_time(t, "%Y-%m-%d");
                break;
            case 'D':
            case 'x':
                out += *format_time(t, "%m/%d/%y");
                break;
            case 'T':
            case 'X':
                out += *format_time(t, "%H:%M:%S");
                break;
            case 'R':
                out += *format_time(t, "%H:%M");
                break;
            case 'r':
                out += *format_time(t, "%I:%M:%S %p");
                break;
            case 'c':
                out += *format_time(t, "%a %b %e %H:%M:%S %Y");
                break;
            case 'n':
                out += "\n";
                break;
            case 't':
                out += "\t";
                break;
            case '%':
                out += "%";
                break;
            case 'z':
            case 'Z':
                break;  // a time without a zone
            default:
                return Error(Status::unsupported, cat("strftime directive %", c, " is not supported"));
        }
    }
    return out;
}

}  // namespace elver::jinja
