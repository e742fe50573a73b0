#include "day_hours.h"

#include <algorithm>

#include "loop/file.h"

namespace candela::bus_role {

namespace {

constexpr int64_t kDay = 86400;
constexpr size_t kZoneBytesMax = 256 * 1024;

// A path below the folder of zones, and nothing else.
bool is_zone_name(std::string_view name) {
    if (name.empty() || name.size() > 64 || name.front() == '/') return false;
    if (name.find("..") != std::string_view::npos) return false;
    return std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '/' || c == '_' || c == '-' || c == '+';
    });
}

std::shared_ptr<const TimeZone> read_zone(const std::string& name) {
    const bool is_own = name.empty();
    if (!is_own && !is_zone_name(name)) return nullptr;
    const std::string path = is_own ? "/etc/localtime" : "/usr/share/zoneinfo/" + name;
    const Result<std::string> text = read_file(path, kZoneBytesMax);
    const Result<TimeZone> zone = text ? TimeZone::parse(*text) : fail(text.error());
    if (zone) return std::make_shared<const TimeZone>(*zone);
    // A machine that says nothing of its zone, or has no zones, has UTC.
    if (is_own || name == "UTC") return std::make_shared<const TimeZone>();
    return nullptr;
}

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

std::shared_ptr<const TimeZone> TimeZones::find(const std::string& name) {
    const auto known = zones_.find(name);
    if (known != zones_.end()) return known->second;
    if (zones_.size() >= kZonesMax) zones_.clear();
    return zones_.emplace(name, read_zone(name)).first->second;
}

}  // namespace candela::bus_role
