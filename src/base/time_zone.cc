#include "base/time_zone.h"

#include <algorithm>

#include "base/text.h"

namespace candela {

namespace {

constexpr int64_t kDay = 86400;
constexpr size_t kHeaderBytes = 44;
constexpr uint64_t kCountMax = 100'000;  // of anything in a file

// Days since 1970-01-01 of the first of January (Gregorian).
int64_t days_before_year(int64_t year) {
    const int64_t y = year - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 - 719162;
}

bool is_leap(int64_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

int64_t year_of(int64_t unix_seconds) {
    int64_t year = 1970 + unix_seconds / (365 * kDay + kDay / 4);
    while (days_before_year(year) * kDay > unix_seconds) --year;
    while (days_before_year(year + 1) * kDay <= unix_seconds) ++year;
    return year;
}

int days_in_month(int month, int64_t year) {
    static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap(year) ? 29 : kDays[month - 1];
}

int64_t big_endian(std::string_view bytes, size_t at, size_t size) {
    uint64_t value = static_cast<int8_t>(bytes[at]) < 0 ? ~uint64_t{0} : 0;
    for (size_t i = 0; i < size; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
    return static_cast<int64_t>(value);
}

struct Counts {
    uint64_t utc, standard, leaps, times, types, characters;

    static Counts read(std::string_view header) {
        const auto count = [&](size_t index) {
            return static_cast<uint64_t>(big_endian(header, 20 + 4 * index, 4)) & 0xffffffffu;
        };
        return Counts{count(0), count(1), count(2), count(3), count(4), count(5)};
    }
    bool is_sane() const {
        return std::max({utc, standard, leaps, times, types, characters}) <= kCountMax;
    }
    uint64_t body_bytes(uint64_t time_bytes) const {
        return times * time_bytes + times + types * 6 + characters + leaps * (time_bytes + 4) +
               standard + utc;
    }
};

std::unexpected<Error> bad_file() { return fail(Code::kCorrupt, "not a time zone file"); }

}  // namespace

// Reads the text from its front.
class TimeZoneRuleParser {
public:
    explicit TimeZoneRuleParser(std::string_view text) : text_(text) {}

    std::optional<TimeZone::Rule> parse() {
        TimeZone::Rule rule;
        if (!name() || !hours(rule.offset)) return std::nullopt;
        rule.offset = -rule.offset;  // POSIX counts to the west
        if (text_.empty()) return rule;
        rule.has_summer = true;
        rule.summer_offset = rule.offset + 3600;
        if (!name()) return std::nullopt;
        if (!text_.empty() && text_.front() != ',') {
            if (!hours(rule.summer_offset)) return std::nullopt;
            rule.summer_offset = -rule.summer_offset;
        }
        const bool is_whole = take(',') && day(rule.summer_begins) && take(',') &&
                              day(rule.summer_ends) && text_.empty();
        return is_whole ? std::optional(rule) : std::nullopt;
    }

private:
    bool take(char c) {
        if (text_.empty() || text_.front() != c) return false;
        text_.remove_prefix(1);
        return true;
    }
    bool name() {
        const bool is_quoted = take('<');
        size_t size = 0;
        while (size < text_.size()) {
            const char c = text_[size];
            const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
            const bool is_more = is_quoted && (c == '+' || c == '-' || (c >= '0' && c <= '9'));
            if (!is_letter && !is_more) break;
            ++size;
        }
        text_.remove_prefix(size);
        return size >= 3 && (!is_quoted || take('>'));
    }
    bool number(int& out, int max) {
        size_t size = 0;
        out = 0;
        while (size < text_.size() && size < 4 && text_[size] >= '0' && text_[size] <= '9') {
            out = out * 10 + (text_[size++] - '0');
        }
        text_.remove_prefix(size);
        return size > 0 && out <= max;
    }
    // [+-]h[h][:mm[:ss]]
    bool hours(int64_t& out) {
        const bool is_negative = take('-');
        if (!is_negative) take('+');
        int h = 0, m = 0, s = 0;
        if (!number(h, 167)) return false;
        if (take(':') && !number(m, 59)) return false;
        if (take(':') && !number(s, 59)) return false;
        out = (h * 60 + m) * 60 + s;
        if (is_negative) out = -out;
        return true;
    }
    bool day(TimeZone::Day& out) {
        using Kind = TimeZone::Day::Kind;
        if (take('M')) {
            out.kind = Kind::kMonthWeekDay;
            if (!number(out.month, 12) || out.month < 1 || !take('.')) return false;
            if (!number(out.week, 5) || out.week < 1 || !take('.')) return false;
            if (!number(out.day, 6)) return false;
        } else if (take('J')) {
            out.kind = Kind::kJulian;
            if (!number(out.day, 365) || out.day < 1) return false;
        } else {
            out.kind = Kind::kDayOfYear;
            if (!number(out.day, 365)) return false;
        }
        return !take('/') || hours(out.time);
    }

    std::string_view text_;
};

Result<TimeZone> TimeZone::parse_rule(std::string_view rule) {
    TimeZone zone;
    zone.rule_ = TimeZoneRuleParser(rule).parse();
    if (!zone.rule_) {
        return fail(Code::kInvalid, "\"{}\" is not a rule for a time zone", printable(rule, 64));
    }
    return zone;
}

Result<TimeZone> TimeZone::parse(std::string_view tzif) {
    if (tzif.size() < kHeaderBytes || !tzif.starts_with("TZif")) return bad_file();
    size_t time_bytes = 4;
    Counts counts = Counts::read(tzif);
    if (!counts.is_sane()) return bad_file();
    if (tzif[4] >= '2') {  // the same again with more bits: only that counts
        const uint64_t skipped = kHeaderBytes + counts.body_bytes(4);
        if (tzif.size() < skipped + kHeaderBytes) return bad_file();
        tzif.remove_prefix(skipped);
        counts = Counts::read(tzif);
        time_bytes = 8;
        if (!tzif.starts_with("TZif") || !counts.is_sane()) return bad_file();
    }
    tzif.remove_prefix(kHeaderBytes);
    if (tzif.size() < counts.body_bytes(time_bytes) || counts.types == 0) return bad_file();
    const size_t indices = counts.times * time_bytes;
    const size_t types = indices + counts.times;
    const auto offset_of = [&](uint64_t type) { return big_endian(tzif, types + type * 6, 4); };
    TimeZone zone;
    zone.first_offset_ = offset_of(0);
    for (uint64_t i = 0; i < counts.times; ++i) {
        const uint64_t type = static_cast<uint8_t>(tzif[indices + i]);
        const int64_t at = big_endian(tzif, i * time_bytes, time_bytes);
        const bool is_in_order = zone.changes_.empty() || zone.changes_.back().at < at;
        if (type >= counts.types || !is_in_order) return bad_file();
        zone.changes_.push_back(Change{at, offset_of(type)});
    }
    tzif.remove_prefix(counts.body_bytes(time_bytes));
    if (time_bytes == 4) return zone;
    if (!tzif.starts_with('\n')) return bad_file();
    const std::string_view footer = tzif.substr(1, tzif.find('\n', 1) - 1);
    if (footer.empty()) return zone;
    CANDELA_TRY_ASSIGN(const TimeZone later, parse_rule(footer));
    zone.rule_ = later.rule_;
    return zone;
}

// Of local time, since the year's beginning.
int64_t TimeZone::seconds_in_year(const Day& day, int64_t year) {
    int64_t index = day.day;
    if (day.kind == Day::Kind::kJulian) {
        // The 29th of February has no number.
        index = day.day - 1 + (is_leap(year) && day.day >= 60 ? 1 : 0);
    } else if (day.kind == Day::Kind::kMonthWeekDay) {
        index = 0;
        for (int month = 1; month < day.month; ++month) index += days_in_month(month, year);
        // 1970-01-01 was a Thursday.
        const int64_t first = days_before_year(year) + index;
        const int64_t weekday = ((first + 4) % 7 + 7) % 7;
        int64_t in_month = (day.day - weekday + 7) % 7 + (day.week - 1) * 7;
        if (in_month >= days_in_month(day.month, year)) in_month -= 7;
        index += in_month;
    }
    return index * kDay + day.time;
}

int64_t TimeZone::offset_by_rule(const Rule& rule, int64_t unix_seconds) {
    if (!rule.has_summer) return rule.offset;
    const int64_t year = year_of(unix_seconds + rule.offset);
    const int64_t start = days_before_year(year) * kDay;
    const int64_t begins = start + seconds_in_year(rule.summer_begins, year) - rule.offset;
    const int64_t ends = start + seconds_in_year(rule.summer_ends, year) - rule.summer_offset;
    const bool is_summer = begins < ends ? unix_seconds >= begins && unix_seconds < ends
                                         : unix_seconds >= begins || unix_seconds < ends;
    return is_summer ? rule.summer_offset : rule.offset;
}

int64_t TimeZone::offset_at(int64_t unix_seconds) const {
    const bool is_after = changes_.empty() || unix_seconds >= changes_.back().at;
    if (is_after && rule_) return offset_by_rule(*rule_, unix_seconds);
    const auto next =
        std::upper_bound(changes_.begin(), changes_.end(), unix_seconds,
                         [](int64_t at, const Change& change) { return at < change.at; });
    return next == changes_.begin() ? first_offset_ : std::prev(next)->offset;
}

}  // namespace candela
