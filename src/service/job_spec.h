#pragma once

// A job of a service: a program of its bundle that runs to its end, by hand or by a schedule.
// service.toml's [[job]]. Values.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace candela::service {

// What becomes of a run while the one before has not ended.
enum class Overlap : uint8_t {
    kForbid,   // it is skipped
    kAllow,    // both run
    kReplace,  // the one before is stopped
};
std::string_view to_string(Overlap overlap);

// What becomes of times at which nobody could start it.
enum class Missed : uint8_t {
    kSkip,  // nothing, but for the last one, where it is no older than `missed_within`
    kOnce,  // one run makes up for all of them, however late
};
std::string_view to_string(Missed missed);

struct Job {
    std::string name;  // as a service's
    std::vector<std::string> command;
    std::string schedule;  // base/cron.h; empty: only by hand
    std::string time_zone = "UTC";
    Overlap overlap = Overlap::kForbid;
    Missed missed = Missed::kSkip;
    Duration missed_within = 1min;
    uint32_t retries = 0;    // after the first attempt
    Duration backoff = 10s;  // before the first retry; twice as long before each other one
    Duration timeout = 1h;   // of one attempt
    uint32_t history = 20;   // runs that have ended and are kept

    friend bool operator==(const Job&, const Job&) = default;
};

inline constexpr size_t kJobsMax = 32;
inline constexpr uint32_t kJobRetriesMax = 20;
inline constexpr uint32_t kJobHistoryMax = 200;
inline constexpr Duration kJobBackoffMax = 1h;  // what doubling comes to
inline constexpr Duration kJobTimeoutMax = 7 * 24h;

}  // namespace candela::service
