#pragma once

// One time zone as the system's files describe it (TZif, RFC 9636): how far its clocks are ahead of
// UTC at some time. Leap seconds do not count. A value; the files are the caller's to read.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candela {

class TimeZone {
public:
    TimeZone() = default;  // UTC

    static Result<TimeZone> parse(std::string_view tzif);
    // A rule as in the environment variable TZ: "CET-1CEST,M3.5.0,M10.5.0/3" (POSIX.1 §8.3, with
    // the hours of RFC 9636 §3.3.1).
    static Result<TimeZone> parse_rule(std::string_view rule);

    // Seconds to add to UTC.
    int64_t offset_at(int64_t unix_seconds) const;

private:
    struct Change {
        int64_t at;
        int64_t offset;
    };
    // When the clocks change in each year: at a time of some day.
    struct Day {
        enum class Kind : uint8_t { kMonthWeekDay, kJulian, kDayOfYear };
        Kind kind = Kind::kMonthWeekDay;
        int month = 0;  // 1 to 12
        int week = 0;   // 1 to 5, which is the last
        int day = 0;    // 0 to 6, Sunday first; or the day of the year
        int64_t time = 2 * 3600;
    };
    struct Rule {
        int64_t offset = 0;
        bool has_summer = false;
        int64_t summer_offset = 0;
        Day summer_begins;
        Day summer_ends;
    };
    friend class TimeZoneRuleParser;

    static int64_t seconds_in_year(const Day& day, int64_t year);
    static int64_t offset_by_rule(const Rule& rule, int64_t unix_seconds);

    int64_t first_offset_ = 0;
    std::vector<Change> changes_;  // in order
    std::optional<Rule> rule_;     // after the last change
};

}  // namespace candela
