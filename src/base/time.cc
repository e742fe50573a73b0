#include "base/time.h"

#include <array>
#include <charconv>
#include <cstdio>

namespace candela {

namespace {

struct Unit {
    std::string_view name;
    Duration length;
};

constexpr std::array<Unit, 7> kUnits{
    {{"d", 24h}, {"h", 1h}, {"m", 1min}, {"s", 1s}, {"ms", 1ms}, {"us", 1us}, {"ns", 1ns}}};

const Unit* find_unit(std::string_view name) {
    for (const Unit& unit : kUnits) {
        if (unit.name == name) return &unit;
    }
    return nullptr;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
    const auto bad = [&](std::string_view why) {
        return fail(Code::kInvalid,
                    "\"{}\" is not a duration ({}); write for example \"500ms\", "
                    "\"10s\" or \"1m30s\"",
                    text, why);
    };
    if (text.empty()) return bad("it is empty");
    if (text == "0") return Duration(0);
    // Far above any use, and far below overflow.
    constexpr int64_t kMaxNanos = Duration(24h * 365 * 90).count();
    int64_t total_ns = 0;
    std::string_view rest = text;
    while (!rest.empty()) {
        int64_t count = 0;
        const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), count);
        if (error != std::errc() || !is_digit(rest.front())) return bad("a number is missing");
        rest.remove_prefix(static_cast<size_t>(end - rest.data()));
        size_t unit_length = 0;
        while (unit_length < rest.size() && !is_digit(rest[unit_length])) ++unit_length;
        if (unit_length == 0) return bad("its unit is missing");
        const Unit* unit = find_unit(rest.substr(0, unit_length));
        if (unit == nullptr) return bad("units are ns, us, ms, s, m, h, d");
        rest.remove_prefix(unit_length);
        if (count > (kMaxNanos - total_ns) / unit->length.count()) return bad("it is too long");
        total_ns += count * unit->length.count();
    }
    return Duration(total_ns);
}

std::string format_duration(Duration duration) {
    if (duration == Duration(0)) return "0s";
    std::string out;
    if (duration < Duration(0)) {
        out = "-";
        duration = -duration;
    }
    for (const Unit& unit : kUnits) {
        const int64_t count = duration / unit.length;
        if (count == 0) continue;
        out += fmt::format("{}{}", count, unit.name);
        duration -= count * unit.length;
    }
    return out;
}

std::string format_rfc3339(WallTime time) {
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(day);
    const auto millis = std::chrono::floor<std::chrono::milliseconds>(time - day).count();
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", int(date.year()),
                       unsigned(date.month()), unsigned(date.day()), millis / 3'600'000,
                       millis / 60'000 % 60, millis / 1000 % 60, millis % 1000);
}

Result<WallTime> parse_rfc3339(std::string_view text) {
    const std::string copy(text);
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, read = 0;
    if (std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute,
                    &second, &read) != 6) {
        return fail(Code::kInvalid, "\"{}\" is not an RFC 3339 time", text);
    }
    std::string_view rest = text.substr(static_cast<size_t>(read));
    int64_t nanos = 0;
    if (!rest.empty() && rest.front() == '.') {
        rest.remove_prefix(1);
        int64_t scale = 100'000'000;
        while (!rest.empty() && is_digit(rest.front())) {
            nanos += (rest.front() - '0') * scale;
            scale /= 10;
            rest.remove_prefix(1);
        }
    }
    int64_t offset_minutes = 0;
    if (rest.size() == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':' &&
        is_digit(rest[1]) && is_digit(rest[2]) && is_digit(rest[4]) && is_digit(rest[5])) {
        offset_minutes =
            ((rest[1] - '0') * 10 + (rest[2] - '0')) * 60 + (rest[4] - '0') * 10 + (rest[5] - '0');
        if (rest[0] == '-') offset_minutes = -offset_minutes;
    } else if (rest != "Z" && rest != "z") {
        return fail(Code::kInvalid, "\"{}\" is not an RFC 3339 time: its zone is missing", text);
    }
    const std::chrono::year_month_day date(std::chrono::year(year),
                                           std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day)));
    if (!date.ok() || hour > 23 || minute > 59 || second > 60) {
        return fail(Code::kInvalid, "\"{}\" is not a time that exists", text);
    }
    return WallTime(std::chrono::sys_days(date).time_since_epoch()) + std::chrono::hours(hour) +
           std::chrono::minutes(minute - offset_minutes) + std::chrono::seconds(second) +
           Duration(nanos);
}

}  // namespace candela
