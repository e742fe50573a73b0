#include "day_hours.h"

#include <algorithm>

namespace candela::bus_role {

namespace {

constexpr int64_t kDay = 86400;

}  // namespace

std::optional<WallTime> DayHours::good_until(WallTime now) const {
    const int64_t seconds = unix_seconds(now);
    const int64_t of_day = ((seconds + zone_.offset_at(seconds)) % kDay + kDay) % kDay;
    int64_t left_most = 0;
    for (const auth::DayTimes& hours : times_) {
        int64_t left = 0;
        if (hours.start <= hours.end) {
            if (of_day > hours.start) left = hours.end - of_day;
        } else if (of_day > hours.start) {
            left = hours.end + kDay - of_day;
        } else {
            left = hours.end - of_day;
        }
        left_most = std::max(left_most, left);
    }
    if (left_most <= 0) return std::nullopt;
    return WallTime(std::chrono::seconds(seconds + left_most));
}

}  // namespace candela::bus_role
