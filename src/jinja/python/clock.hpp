// The time a template sees, and strftime in English: %Y %y %m %d %H %I %M %S %j %B %b %A %a %p, and %-d without zeros.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace elver::jinja {

struct LocalTime {
    int year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0;
};

LocalTime now_local();
Result<LocalTime> from_unix_seconds(double seconds);  // in the system's time zone
// "2024-07-26", "2024-07-26 12:00:00", "2024-07-26T12:00:00.5Z": the fields as they stand.
std::optional<LocalTime> parse_iso_time(std::string_view text);
// Fails for a directive that is not known, naming it.
Result<std::string> format_time(const LocalTime& time, std::string_view format);

}  // namespace elver::jinja
