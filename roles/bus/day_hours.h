#pragma once

// The hours of the day in which a user may be connected (a JWT's `times`), in a time zone of the
// system's.

#include <optional>
#include <vector>

#include "auth/user_bounds.h"
#include "base/time.h"
#include "base/time_zone.h"

namespace candela::bus_role {

class DayHours {
public:
    DayHours(std::vector<auth::DayTimes> times, TimeZone zone)
        : times_(std::move(times)), zone_(std::move(zone)) {}

    // Until when it is within one of the hours, by today's clock; absent: it is in none of them. As
    // for nats-server, neither end belongs to them.
    std::optional<WallTime> good_until(WallTime now) const;

private:
    std::vector<auth::DayTimes> times_;
    TimeZone zone_;
};

}  // namespace candela::bus_role
