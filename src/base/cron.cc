#include "base/cron.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "base/text.h"

namespace candela {

namespace {

constexpr int64_t kDaySeconds = 86'400;
constexpr int64_t kDaysAhead = 366 * 8;  // a 29 February may be eight years away

struct Field {
    unsigned first;
    unsigned last;
    std::string_view what;
    std::string_view names;  // of three letters each
};
constexpr std::array<Field, 6> kFields{{{0, 59, "second", {}},
                                        {0, 59, "minute", {}},
                                        {0, 23, "hour", {}},
                                        {1, 31, "day of the month", {}},
                                        {1, 12, "month", "janfebmaraprmayjunjulaugsepoctnovdec"},
                                        {0, 6, "day of the week", "sunmontuewedthufrisat"}}};
enum : size_t { kSeconds, kMinutes, kHours, kDays, kMonths, kWeekdays };

std::optional<unsigned> parse_value(std::string_view text, const Field& field) {
    if (const Result<uint64_t> number = parse_uint(text)) {
        // Sunday is 0, and 7 as well.
        if (&field == &kFields[kWeekdays] && *number == 7) return 7;
        if (*number < field.first || *number > field.last) return std::nullopt;
        return static_cast<unsigned>(*number);
    }
    if (text.size() != 3) return std::nullopt;
    const std::string name = ascii_lower(text);
    for (size_t i = 0; i + 3 <= field.names.size(); i += 3) {
        if (field.names.substr(i, 3) == name) return static_cast<unsigned>(i / 3) + field.first;
    }
    return std::nullopt;
}

// One of the parts between commas: *, 5, 1-5, */10, 1-30/2.
bool parse_range(std::string_view text, const Field& field, std::bitset<64>& out) {
    uint64_t step = 1;
    const size_t slash = text.find('/');
    if (slash != std::string_view::npos) {
        const Result<uint64_t> parsed = parse_uint(text.substr(slash + 1));
        if (!parsed || *parsed == 0 || *parsed > field.last) return false;
        step = *parsed;
        text = text.substr(0, slash);
    }
    unsigned first = field.first;
    unsigned last = field.last;
    if (text != "*" && text != "?") {
        const size_t dash = text.find('-');
        const std::optional<unsigned> from = parse_value(text.substr(0, dash), field);
        if (!from) return false;
        first = *from;
        if (dash != std::string_view::npos) {
            const std::optional<unsigned> to = parse_value(text.substr(dash + 1), field);
            if (!to || *to < first) return false;
            last = *to;
        } else if (slash == std::string_view::npos) {
            last = first;
        }
    }
    const bool is_weekday = &field == &kFields[kWeekdays];
    for (uint64_t value = first; value <= last; value += step)
        out.set(is_weekday ? value % 7 : value);
    return true;
}

std::string_view named(std::string_view text) {
    struct Name {
        std::string_view name;
        std::string_view fields;
    };
    static constexpr std::array<Name, 7> kNames{{{"@yearly", "0 0 1 1 *"},
                                                 {"@annually", "0 0 1 1 *"},
                                                 {"@monthly", "0 0 1 * *"},
                                                 {"@weekly", "0 0 * * 0"},
                                                 {"@daily", "0 0 * * *"},
                                                 {"@midnight", "0 0 * * *"},
                                                 {"@hourly", "0 * * * *"}}};
    for (const Name& known : kNames) {
        if (known.name == text) return known.fields;
    }
    return text;
}

// The first value in the set at or after `from`; 64 where there is none.
unsigned first_from(const std::bitset<64>& set, unsigned from) {
    while (from < 64 && !set.test(from)) ++from;
    return from;
}

// The first moment in (before, after] at which the clocks are no longer `offset` ahead.
int64_t find_change(const TimeZone& zone, int64_t before, int64_t after, int64_t offset) {
    while (after - before > 1) {
        const int64_t middle = before + (after - before) / 2;
        (zone.offset_at(middle) == offset ? before : after) = middle;
    }
    return after;
}

// When clocks show this time for the first time; where they skip it, when they have.
int64_t moment_of(const TimeZone& zone, int64_t local) {
    const int64_t before = zone.offset_at(local - kDaySeconds);
    const int64_t after = zone.offset_at(local + kDaySeconds);
    if (before == after) return local - zone.offset_at(local - before);
    const bool is_shown_before = zone.offset_at(local - before) == before;
    const bool is_shown_after = zone.offset_at(local - after) == after;
    if (is_shown_before) return local - before;
    if (is_shown_after) return local - after;
    return find_change(zone, local - kDaySeconds, local + kDaySeconds, before);
}

}  // namespace

Result<CronPattern> CronPattern::parse(std::string_view text) {
    return parse_fields(named(trim(text)), kFields.size() - 1);
}

Result<CronPattern> CronPattern::parse_with_seconds(std::string_view text) {
    text = trim(text);
    if (text.starts_with('@')) return parse(text);
    return parse_fields(text, kFields.size());
}

Result<CronPattern> CronPattern::parse_fields(std::string_view text, size_t count) {
    std::vector<std::string_view> words = split(text, ' ');
    std::erase_if(words, [](std::string_view word) { return word.empty(); });
    if (words.size() != count) {
        return fail(Code::kInvalid,
                    "\"{}\" has {} fields instead of {}: {}minute, hour, day of the month, month, "
                    "day of the week; or @daily and its like",
                    printable(text, 100), words.size(), count,
                    count == kFields.size() ? "second, " : "");
    }
    CronPattern pattern;
    const size_t skipped = kFields.size() - count;
    if (skipped != 0) pattern.fields_[kSeconds].set(0);
    for (size_t i = 0; i < words.size(); ++i) {
        const Field& field = kFields[i + skipped];
        for (const std::string_view part : split(words[i], ',')) {
            if (parse_range(part, field, pattern.fields_[i + skipped])) continue;
            return fail(Code::kInvalid, "\"{}\" is no {}: {} to {}, as 5, 1-5, */10 or a list",
                        printable(part, 50), field.what, field.first, field.last);
        }
    }
    const std::string_view day = words[kDays - skipped];
    const std::string_view weekday = words[kWeekdays - skipped];
    pattern.any_day_ = day.front() == '*' || day == "?";
    pattern.any_weekday_ = weekday.front() == '*' || weekday == "?";
    if (pattern.next(0) == 0) {
        return fail(Code::kInvalid, "\"{}\" names a day that never comes", printable(text, 100));
    }
    return pattern;
}

// Where both the day of the month and of the week are named, either will do.
bool CronPattern::matches_day(int64_t day) const {
    const std::chrono::sys_days date{std::chrono::days(day)};
    const std::chrono::year_month_day calendar(date);
    if (!fields_[kMonths].test(static_cast<unsigned>(calendar.month()))) return false;
    const bool by_day = fields_[kDays].test(static_cast<unsigned>(calendar.day()));
    const bool by_weekday = fields_[kWeekdays].test(std::chrono::weekday(date).c_encoding());
    return any_day_ || any_weekday_ ? by_day && by_weekday : by_day || by_weekday;
}

bool CronPattern::is_every_hour() const { return fields_[kHours].count() == 24; }

int64_t CronPattern::next(int64_t after) const {
    const int64_t from = after + 1;
    // Rounded down, also before 1970.
    const int64_t first_day = from / kDaySeconds - (from % kDaySeconds < 0 ? 1 : 0);
    for (int64_t day = first_day; day <= first_day + kDaysAhead; ++day) {
        if (!matches_day(day)) continue;
        const auto rest = static_cast<unsigned>(std::max<int64_t>(0, from - day * kDaySeconds));
        for (unsigned hour = first_from(fields_[kHours], rest / 3600); hour < 24;
             hour = first_from(fields_[kHours], hour + 1)) {
            const unsigned past = std::max(rest, hour * 3600) - hour * 3600;
            for (unsigned minute = first_from(fields_[kMinutes], past / 60); minute < 60;
                 minute = first_from(fields_[kMinutes], minute + 1)) {
                const unsigned start = std::max(past, minute * 60) - minute * 60;
                const unsigned second = first_from(fields_[kSeconds], start);
                if (second >= 60) continue;
                return day * kDaySeconds + hour * 3600 + minute * 60 + second;
            }
        }
    }
    return 0;
}

int64_t CronPattern::next_in(const TimeZone& zone, int64_t after) const {
    if (is_every_hour()) {
        for (;;) {
            const int64_t offset = zone.offset_at(after);
            const int64_t moment = next(after + offset) - offset;
            if (zone.offset_at(moment) == offset) return moment;
            // The clocks change before: from then on they say something else.
            const int64_t change = find_change(zone, after, moment, offset);
            const int64_t changed = zone.offset_at(change);
            const int64_t later = next(change - 1 + changed) - changed;
            if (zone.offset_at(later) == changed) return later;
            after = change;
        }
    }
    // A day earlier, so that no change of the clocks is missed.
    const bool is_near_change =
        zone.offset_at(after - kDaySeconds) != zone.offset_at(after + kDaySeconds);
    int64_t local = after + zone.offset_at(after) - (is_near_change ? kDaySeconds : 0);
    for (;;) {
        local = next(local);
        if (local == 0) return 0;
        const int64_t moment = moment_of(zone, local);
        if (moment > after) return moment;
    }
}

bool is_time_zone_name(std::string_view name) {
    if (name.empty() || name.size() > 64 || name.front() == '/') return false;
    if (name.find("..") != std::string_view::npos) return false;
    return std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '/' || c == '_' || c == '-' || c == '+';
    });
}

}  // namespace candela
