#include "loop/time_zones.h"

#include "base/cron.h"
#include "loop/file.h"

namespace candela {

namespace {

constexpr size_t kZoneBytesMax = 256 * 1024;

std::shared_ptr<const TimeZone> read_zone(const std::string& name) {
    const bool is_own = name.empty();
    if (!is_own && !is_time_zone_name(name)) return nullptr;
    const std::string path = is_own ? "/etc/localtime" : "/usr/share/zoneinfo/" + name;
    const Result<std::string> text = read_file(path, kZoneBytesMax);
    const Result<TimeZone> zone = text ? TimeZone::parse(*text) : fail(text.error());
    if (zone) return std::make_shared<const TimeZone>(*zone);
    // A machine that says nothing of its zone, or has no zones, has UTC.
    if (is_own || name == "UTC") return std::make_shared<const TimeZone>();
    return nullptr;
}

}  // namespace

std::shared_ptr<const TimeZone> TimeZones::find(const std::string& name) {
    const auto known = zones_.find(name);
    if (known != zones_.end()) return known->second;
    if (zones_.size() >= kZonesMax) zones_.clear();
    return zones_.emplace(name, read_zone(name)).first->second;
}

}  // namespace candela
