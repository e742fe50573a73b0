#pragma once

// When a scheduled message is due (ADR-51): "@at <RFC 3339>", "@every <duration>", "@hourly" and
// its like, or six cron fields (second, minute, hour, day of month, month, day of week), in UTC.
// Times are nanoseconds since 1970. Values.

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/cron.h"

namespace candela::bus_role {

class SchedulePattern {
public:
    static constexpr int64_t kIntervalMin = 1'000'000'000;
    // Nothing where it is none, or never comes.
    static std::optional<SchedulePattern> parse(std::string_view text);

    // Due once only.
    bool is_once() const { return kind_ == Kind::kAt; }
    // The first moment after `after`, of a schedule published at `start`; of "@at" the moment that
    // it names, whenever that is.
    int64_t next(int64_t start, int64_t after) const;

private:
    enum class Kind : uint8_t { kAt, kEvery, kCron };
    Kind kind_ = Kind::kAt;
    int64_t at_ = 0;
    int64_t interval_ = 0;
    CronPattern cron_;
};

// "Nats-TTL": whole seconds (0: none), a duration of at least a second, or "never", which is -1
// (ADR-43). Nanoseconds; nothing where it is none of these.
std::optional<int64_t> parse_message_ttl(std::string_view text);

}  // namespace candela::bus_role
