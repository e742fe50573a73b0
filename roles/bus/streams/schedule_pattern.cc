#include "schedule_pattern.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/text.h"
#include "base/time.h"

namespace candela::bus_role {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kDaySeconds = 86'400;
constexpr int64_t kDaysAhead = 366 * 8;  // a 29 February may be eight years away

struct Field {
    unsigned first;
    unsigned last;
    std::string_view names;  // of three letters each
};
constexpr std::array<Field, 6> kFields{{{0, 59, {}},
                                        {0, 59, {}},
                                        {0, 23, {}},
                                        {1, 31, {}},
                                        {1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
                                        {0, 6, "sunmontuewedthufrisat"}}};
enum : size_t { kSeconds, kMinutes, kHours, kDays, kMonths, kWeekdays };

std::optional<unsigned> parse_value(std::string_view text, const Field& field) {
    if (const Result<uint64_t> number = parse_uint(text)) {
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
    for (uint64_t value = first; value <= last; value += step) out.set(value);
    return true;
}

std::string_view named(std::string_view text) {
    struct Name {
        std::string_view name;
        std::string_view fields;
    };
    static constexpr std::array<Name, 7> kNames{{{"@yearly", "0 0 0 1 1 *"},
                                                 {"@annually", "0 0 0 1 1 *"},
                                                 {"@monthly", "0 0 0 1 * *"},
                                                 {"@weekly", "0 0 0 * * 0"},
                                                 {"@daily", "0 0 0 * * *"},
                                                 {"@midnight", "0 0 0 * * *"},
                                                 {"@hourly", "0 0 * * * *"}}};
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

}  // namespace

std::optional<SchedulePattern> SchedulePattern::parse(std::string_view text) {
    SchedulePattern out;
    text = trim(text);
    if (text.starts_with("@at ")) {
        const Result<WallTime> time = parse_rfc3339(trim(text.substr(4)));
        if (!time || time->time_since_epoch().count() <= 0) return std::nullopt;
        out.at_ = time->time_since_epoch().count();
        return out;
    }
    if (text.starts_with("@every ")) {
        const Result<Duration> interval = parse_duration(trim(text.substr(7)));
        if (!interval || interval->count() < kIntervalMin) return std::nullopt;
        out.kind_ = Kind::kEvery;
        out.interval_ = interval->count();
        return out;
    }
    out.kind_ = Kind::kCron;
    if (!out.parse_cron(named(text)) || out.next_of_cron(0) == 0) return std::nullopt;
    return out;
}

bool SchedulePattern::parse_cron(std::string_view text) {
    std::vector<std::string_view> words = split(text, ' ');
    std::erase_if(words, [](std::string_view word) { return word.empty(); });
    if (words.size() != kFields.size()) return false;
    for (size_t i = 0; i < words.size(); ++i) {
        for (const std::string_view part : split(words[i], ',')) {
            if (!parse_range(part, kFields[i], fields_[i])) return false;
        }
    }
    any_day_ = words[kDays].front() == '*' || words[kDays] == "?";
    any_weekday_ = words[kWeekdays].front() == '*' || words[kWeekdays] == "?";
    return true;
}

// Where both the day of the month and of the week are named, either will do.
bool SchedulePattern::matches_day(int64_t day) const {
    const std::chrono::sys_days date{std::chrono::days(day)};
    const std::chrono::year_month_day calendar(date);
    if (!fields_[kMonths].test(static_cast<unsigned>(calendar.month()))) return false;
    const bool by_day = fields_[kDays].test(static_cast<unsigned>(calendar.day()));
    const bool by_weekday = fields_[kWeekdays].test(std::chrono::weekday(date).c_encoding());
    return any_day_ || any_weekday_ ? by_day && by_weekday : by_day || by_weekday;
}

int64_t SchedulePattern::next_of_cron(int64_t after) const {
    const int64_t from = after / kSecond + 1;
    for (int64_t day = from / kDaySeconds; day <= from / kDaySeconds + kDaysAhead; ++day) {
        if (!matches_day(day)) continue;
        auto rest = static_cast<unsigned>(std::max<int64_t>(0, from - day * kDaySeconds));
        for (unsigned hour = first_from(fields_[kHours], rest / 3600); hour < 24;
             hour = first_from(fields_[kHours], hour + 1)) {
            const unsigned past = std::max(rest, hour * 3600) - hour * 3600;
            for (unsigned minute = first_from(fields_[kMinutes], past / 60); minute < 60;
                 minute = first_from(fields_[kMinutes], minute + 1)) {
                const unsigned start = std::max(past, minute * 60) - minute * 60;
                const unsigned second = first_from(fields_[kSeconds], start);
                if (second >= 60) continue;
                return (day * kDaySeconds + hour * 3600 + minute * 60 + second) * kSecond;
            }
        }
    }
    return 0;
}

int64_t SchedulePattern::next(int64_t start, int64_t after) const {
    switch (kind_) {
        case Kind::kAt: return at_;
        case Kind::kEvery:
            if (after < start) return start + interval_;
            return start + ((after - start) / interval_ + 1) * interval_;
        case Kind::kCron: break;
    }
    return next_of_cron(after);
}

std::optional<int64_t> parse_message_ttl(std::string_view text) {
    if (text == "never") return -1;
    if (const Result<uint64_t> seconds = parse_uint(text)) {
        constexpr uint64_t kSecondsMax = 100ULL * 366 * kDaySeconds;
        if (*seconds > kSecondsMax) return std::nullopt;
        return static_cast<int64_t>(*seconds) * kSecond;
    }
    const Result<Duration> duration = parse_duration(text);
    if (!duration || duration->count() < kSecond) return std::nullopt;
    return duration->count();
}

}  // namespace candela::bus_role
