#include "base/cron.h"

#include <chrono>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <fmt/format.h>

using namespace candela;

namespace {

int64_t utc(int year, unsigned month, unsigned day, int hour, int minute = 0, int second = 0) {
    const std::chrono::sys_days date =
        std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day);
    return std::chrono::duration_cast<std::chrono::seconds>(date.time_since_epoch()).count() +
           hour * 3600 + minute * 60 + second;
}

std::string text_of(int64_t seconds) {
    const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss clock(time - day);
    return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                       clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::vector<std::string> times(std::string_view pattern, const TimeZone& zone, int64_t after,
                               size_t count) {
    const CronPattern cron = CronPattern::parse(pattern).value();
    std::vector<std::string> out;
    for (size_t i = 0; i < count; ++i) {
        after = cron.next_in(zone, after);
        out.push_back(text_of(after));
    }
    return out;
}

using Times = std::vector<std::string>;
const TimeZone kBerlin = TimeZone::parse_rule("CET-1CEST,M3.5.0,M10.5.0/3").value();
const TimeZone kNewYork = TimeZone::parse_rule("EST5EDT,M3.2.0,M11.1.0").value();
const TimeZone kUtc;

}  // namespace

TEST_CASE("cron_patterns_name_minutes_hours_days_months_and_weekdays") {
    const int64_t start = utc(2026, 1, 1, 0);  // a Thursday
    CHECK(times("*/15 * * * *", kUtc, start, 2) ==
          Times{"2026-01-01 00:15:00", "2026-01-01 00:30:00"});
    CHECK(times("30 3 * * mon-fri", kUtc, start, 3) ==
          Times{"2026-01-01 03:30:00", "2026-01-02 03:30:00", "2026-01-05 03:30:00"});
    CHECK(times("0 0 13 * 5", kUtc, start, 3) ==
          Times{"2026-01-02 00:00:00", "2026-01-09 00:00:00", "2026-01-13 00:00:00"});
    CHECK(times("0 12 * * 7", kUtc, start, 1) == Times{"2026-01-04 12:00:00"});
    CHECK(times("0 12 29 feb *", kUtc, start, 2) ==
          Times{"2028-02-29 12:00:00", "2032-02-29 12:00:00"});
    CHECK(times("5,10-12,50/5 23 31 12 *", kUtc, start, 6) ==
          Times{"2026-12-31 23:05:00", "2026-12-31 23:10:00", "2026-12-31 23:11:00",
                "2026-12-31 23:12:00", "2026-12-31 23:50:00", "2026-12-31 23:55:00"});
    CHECK(times("@daily", kUtc, start, 1) == Times{"2026-01-02 00:00:00"});
    CHECK(times("@hourly", kUtc, start, 1) == Times{"2026-01-01 01:00:00"});
    CHECK(times("@weekly", kUtc, start, 1) == Times{"2026-01-04 00:00:00"});
    CHECK(times("@monthly", kUtc, start, 1) == Times{"2026-02-01 00:00:00"});
    CHECK(times("@yearly", kUtc, start, 1) == Times{"2027-01-01 00:00:00"});
    const auto seconds = CronPattern::parse_with_seconds("*/20 0 0 * * *").value();
    CHECK(seconds.next(start) == start + 20);
}

TEST_CASE("cron_patterns_that_are_none_say_what_is_wrong") {
    const auto why = [](std::string_view text) {
        const auto parsed = CronPattern::parse(text);
        return parsed ? "" : parsed.error().message();
    };
    CHECK(why("* * * *").find("has 4 fields instead of 5") != std::string::npos);
    CHECK(why("* * * * * *").find("has 6 fields") != std::string::npos);
    CHECK(why("60 * * * *") == "\"60\" is no minute: 0 to 59, as 5, 1-5, */10 or a list");
    CHECK(why("* 5-1 * * *").find("is no hour") != std::string::npos);
    CHECK(why("* * 0 * *").find("is no day of the month") != std::string::npos);
    CHECK(why("* * * foo *").find("is no month") != std::string::npos);
    CHECK(why("* * * * 8").find("is no day of the week") != std::string::npos);
    CHECK(why("*/0 * * * *").find("is no minute") != std::string::npos);
    CHECK(why("0 0 31 2 *").find("never comes") != std::string::npos);
    CHECK(why("@often").find("or @daily and its like") != std::string::npos);
    CHECK(why("") != "");
}

TEST_CASE("a_time_that_clocks_skip_comes_when_they_have") {
    // 2026-03-29 in Berlin: at 02:00 it is 03:00, which is 01:00 UTC.
    CHECK(times("30 2 * * *", kBerlin, utc(2026, 3, 28, 0), 3) ==
          Times{"2026-03-28 01:30:00", "2026-03-29 01:00:00", "2026-03-30 00:30:00"});
    // All that is skipped comes once.
    CHECK(times("*/20 2 * * *", kBerlin, utc(2026, 3, 29, 0), 2) ==
          Times{"2026-03-29 01:00:00", "2026-03-30 00:00:00"});
    CHECK(times("30 2 8 3 *", kNewYork, utc(2026, 3, 8, 0), 1) == Times{"2026-03-08 07:00:00"});
}

TEST_CASE("a_time_that_clocks_show_twice_comes_the_first_time") {
    // 2026-10-25 in Berlin: at 03:00 it is 02:00 again, which is 01:00 UTC.
    CHECK(times("30 2 * * *", kBerlin, utc(2026, 10, 24, 12), 2) ==
          Times{"2026-10-25 00:30:00", "2026-10-26 01:30:00"});
    // Also where one begins to look between the two.
    CHECK(times("30 2 * * *", kBerlin, utc(2026, 10, 25, 0, 45), 1) ==
          Times{"2026-10-26 01:30:00"});
    CHECK(times("0 3 * * *", kBerlin, utc(2026, 10, 25, 0), 1) == Times{"2026-10-25 02:00:00"});
}

TEST_CASE("what_comes_every_hour_comes_as_often_as_clocks_show_it") {
    CHECK(times("30 * * * *", kBerlin, utc(2026, 3, 29, 0), 3) ==
          Times{"2026-03-29 00:30:00", "2026-03-29 01:30:00", "2026-03-29 02:30:00"});
    CHECK(times("30 * * * *", kBerlin, utc(2026, 10, 24, 23, 45), 3) ==
          Times{"2026-10-25 00:30:00", "2026-10-25 01:30:00", "2026-10-25 02:30:00"});
    // A day of 25 hours has 25, one of 23 hours 23, and neither loses or doubles one.
    for (const auto& [day, count] : {std::pair(utc(2026, 10, 24, 22), 25), {utc(2026, 3, 28, 23), 23}}) {
        const CronPattern hourly = CronPattern::parse("0 * * * *").value();
        int64_t at = day - 1;
        for (int i = 0; i < count; ++i) {
            at = hourly.next_in(kBerlin, at);
            CHECK(at == day + i * 3600);
        }
    }
}

TEST_CASE("times_grow_however_the_clocks_change") {
    for (const char* text : {"*/7 * * * *", "13 1,2,3 * * *", "0 0 * * *", "59 23 * * sun"}) {
        const CronPattern cron = CronPattern::parse(text).value();
        for (const TimeZone* zone : {&kBerlin, &kNewYork, &kUtc}) {
            int64_t at = utc(2026, 1, 1, 0);
            const int64_t end = utc(2027, 1, 1, 0);
            while (at < end) {
                const int64_t next = cron.next_in(*zone, at);
                REQUIRE(next > at);
                // It does not depend on where one begins to look.
                REQUIRE(cron.next_in(*zone, (at + next) / 2) == next);
                at = next;
            }
        }
    }
}
