#pragma once

// The hours of the day in which a user may be connected (a JWT's `times`), in a time zone of the
// system's. One TimeZones a loop.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
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

// Zones by name, read once each. The files are small and local, and there are few of them: they are
// read where they are asked for.
class TimeZones {
public:
    static constexpr size_t kZonesMax = 1024;  // names asked for, known or not

    // "Europe/Berlin"; empty: the machine's own. Null where there is none of that name.
    std::shared_ptr<const TimeZone> find(const std::string& name);

private:
    std::map<std::string, std::shared_ptr<const TimeZone>> zones_;
};

}  // namespace candela::bus_role
