#pragma once

// From where, in which way and when a user may be connected, as NATS's JWTs say it. Values.

#include <string>
#include <vector>

namespace candela::auth {

// Hours of the day, in seconds since midnight. What ends before it begins goes over midnight.
struct DayTimes {
    int start = 0;
    int end = 0;
    friend bool operator==(const DayTimes&, const DayTimes&) = default;
};

struct UserBounds {
    std::vector<std::string> allowed_connection_types;  // empty: all
    std::vector<std::string> source_networks;           // CIDR; empty: all
    std::vector<DayTimes> times;                        // empty: always
    std::string times_zone;  // "Europe/Berlin"; empty: that of the bus's machine
    friend bool operator==(const UserBounds&, const UserBounds&) = default;
};

}  // namespace candela::auth
