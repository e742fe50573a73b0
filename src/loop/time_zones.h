#pragma once

// Time zones by name, as this machine has them, read once each. The files are small and local, and
// there are few of them: they are read where they are asked for. For one thread.

#include <map>
#include <memory>
#include <string>

#include "base/time_zone.h"

namespace candela {

class TimeZones {
public:
    static constexpr size_t kZonesMax = 1024;  // names asked for, known or not

    // "Europe/Berlin"; empty: the machine's own. Null where there is none of that name.
    std::shared_ptr<const TimeZone> find(const std::string& name);

private:
    std::map<std::string, std::shared_ptr<const TimeZone>> zones_;
};

}  // namespace candela
