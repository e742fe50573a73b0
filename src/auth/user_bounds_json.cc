#include "auth/user_bounds_json.h"

#include <nlohmann/json.hpp>

#include "auth/claims_json.h"
#include "base/text.h"

namespace candela::auth {

namespace {

// "15:04:05", as seconds since midnight.
Result<int> parse_day_time(std::string_view text) {
    const auto digits = [&](size_t at, int max) {
        const char tens = text[at];
        const char ones = text[at + 1];
        if (tens < '0' || tens > '9' || ones < '0' || ones > '9') return -1;
        const int value = (tens - '0') * 10 + (ones - '0');
        return value <= max ? value : -1;
    };
    const auto bad = [&] {
        return fail(Code::kInvalid, "times: \"{}\" is not a time of the form 15:04:05",
                    printable(text, 32));
    };
    if (text.size() != 8 || text[2] != ':' || text[5] != ':') return bad();
    const int hours = digits(0, 23);
    const int minutes = digits(3, 59);
    const int seconds = digits(6, 59);
    if (hours < 0 || minutes < 0 || seconds < 0) return bad();
    return (hours * 60 + minutes) * 60 + seconds;
}

std::string format_day_time(int seconds) {
    return fmt::format("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

}  // namespace

void write_bounds(Json& out, const UserBounds& bounds) {
    if (!bounds.allowed_connection_types.empty()) {
        out["allowed_connection_types"] = bounds.allowed_connection_types;
    }
    if (!bounds.source_networks.empty()) out["src"] = bounds.source_networks;
    for (const DayTimes& times : bounds.times) {
        out["times"].push_back(
            {{"start", format_day_time(times.start)}, {"end", format_day_time(times.end)}});
    }
    if (!bounds.times_zone.empty()) out["times_location"] = bounds.times_zone;
}

Result<UserBounds> read_bounds(const Json& object) {
    UserBounds out;
    CANDELA_TRY_ASSIGN(out.allowed_connection_types,
                       read_strings(object, "allowed_connection_types"));
    CANDELA_TRY_ASSIGN(out.source_networks, read_strings(object, "src"));
    out.times_zone = json_string_or(object, "times_location");
    const auto times = object.find("times");
    if (times == object.end() || times->is_null()) return out;
    if (!times->is_array()) return fail(Code::kInvalid, "times: not a list");
    for (const Json& range : *times) {
        DayTimes hours;
        CANDELA_TRY_ASSIGN(hours.start, parse_day_time(json_string_or(range, "start")));
        CANDELA_TRY_ASSIGN(hours.end, parse_day_time(json_string_or(range, "end")));
        out.times.push_back(hours);
    }
    return out;
}

}  // namespace candela::auth
