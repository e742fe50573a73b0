#pragma once

// Time as values. Duration is a count of nanoseconds; MonoTime never jumps and has no calendar;
// WallTime is UTC and may jump. Nothing here reads a clock: a Clock (loop/clock.h) is handed in.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace candela {

using Duration = std::chrono::nanoseconds;
using MonoTime = std::chrono::time_point<std::chrono::steady_clock, Duration>;
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

using std::chrono_literals::operator""ns;
using std::chrono_literals::operator""us;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""min;
using std::chrono_literals::operator""h;

// "500ms", "1s", "1m30s", "2h", "7d"; a number without a unit is an error, and so is a negative
// one.
Result<Duration> parse_duration(std::string_view text);
// The shortest exact form that parse_duration reads: "1m30s".
std::string format_duration(Duration duration);

// RFC 3339 in UTC with milliseconds: 2026-01-02T03:04:05.678Z.
std::string format_rfc3339(WallTime time);
Result<WallTime> parse_rfc3339(std::string_view text);

inline int64_t unix_seconds(WallTime time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}
inline int64_t unix_millis(WallTime time) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}
inline WallTime from_unix_millis(int64_t millis) {
    return WallTime(std::chrono::milliseconds(millis));
}

}  // namespace candela
