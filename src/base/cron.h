#pragma once

// Cron patterns: which moments of a calendar they name, and when those come in a time zone whose
// clocks change. Values; no I/O.

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "base/time_zone.h"

namespace candela {

class CronPattern {
public:
    // Five fields (minute, hour, day of month, month, day of week), "@hourly", "@daily",
    // "@midnight", "@weekly", "@monthly", "@yearly" or "@annually". kInvalid says what is wrong;
    // a pattern that names no day there is, is.
    static Result<CronPattern> parse(std::string_view text);
    // The same with a field of seconds in front.
    static Result<CronPattern> parse_with_seconds(std::string_view text);

    // The first moment after `after`, both in seconds of a clock that never changes.
    int64_t next(int64_t after) const;

    // The first moment after `after`, both in unix seconds, by the clocks of the zone. Where the
    // pattern names hours, a time that the clocks skip comes when they have skipped it, and one
    // that they show twice the first time only. Where it names every hour, it comes as often as
    // the clocks show it.
    int64_t next_in(const TimeZone& zone, int64_t after) const;

private:
    static Result<CronPattern> parse_fields(std::string_view text, size_t count);
    bool matches_day(int64_t day) const;
    bool is_every_hour() const;

    std::array<std::bitset<64>, 6> fields_;  // from seconds to days of the week
    bool any_day_ = false;                   // the day of the month is "*"
    bool any_weekday_ = false;
};

// Whether it can be a zone's: "Europe/Berlin", "Etc/GMT+3", "UTC"; a path below the folder of
// zones.
bool is_time_zone_name(std::string_view name);

}  // namespace candela
