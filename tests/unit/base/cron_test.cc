#include "base/cron.h"

#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "base/time.h"

namespace candela {
namespace {

TimeZone berlin() { return TimeZone::parse_rule("CET-1CEST,M3.5.0,M10.5.0/3").value(); }

int64_t at(std::string_view time) {
    return unix_seconds(parse_rfc3339(std::string(time) + "Z").value());
}

std::string shown(int64_t seconds) {
    return format_rfc3339(from_unix_millis(seconds * 1000)).substr(0, 19);
}

// The first moments after `after`, in UTC, of a pattern by the clocks of a zone.
std::vector<std::string> times(std::string_view pattern, const TimeZone& zone,
                               std::string_view after, size_t count) {
    const CronPattern cron = CronPattern::parse(pattern).value();
    std::vector<std::string> out;
    int64_t moment = at(after);
    while (out.size() < count) {
        moment = cron.next_in(zone, moment);
        out.push_back(shown(moment));
    }
    return out;
}

using Times = std::vector<std::string>;

TEST_CASE("cron_patterns_name_moments") {
    const TimeZone utc;
    const char* const friday = "2026-01-30T22:59:30";
    CHECK(times("*/20 * * * *", utc, friday, 3) ==
          Times{"2026-01-30T23:00:00", "2026-01-30T23:20:00", "2026-01-30T23:40:00"});
    CHECK(times("30 9 * * mon-fri", utc, friday, 1) == Times{"2026-02-02T09:30:00"});
    CHECK(times("0 0 * * 7", utc, friday, 1) == Times{"2026-02-01T00:00:00"});
    CHECK(times("0 0 * * 5-7", utc, friday, 3) ==
          Times{"2026-01-31T00:00:00", "2026-02-01T00:00:00", "2026-02-06T00:00:00"});
    CHECK(times("0 12 29 feb *", utc, friday, 2) ==
          Times{"2028-02-29T12:00:00", "2032-02-29T12:00:00"});
    // 2100 is no leap year: the next one is eight years away.
    CHECK(times("0 12 29 2 *", utc, "2097-01-01T00:00:00", 1) == Times{"2104-02-29T12:00:00"});
    // Where both the day of the month and of the week are named, either will do.
    CHECK(times("0 0 13 * fri", utc, friday, 3) ==
          Times{"2026-02-06T00:00:00", "2026-02-13T00:00:00", "2026-02-20T00:00:00"});
    CHECK(times("@daily", utc, friday, 1) == Times{"2026-01-31T00:00:00"});
    CHECK(times(" @weekly ", utc, friday, 1) == Times{"2026-02-01T00:00:00"});
    CHECK(times("@annually", utc, friday, 1) == Times{"2027-01-01T00:00:00"});
    CHECK(shown(CronPattern::parse("* * * * *")->next(-90)) == "1969-12-31T23:59:00");
}

TEST_CASE("cron_patterns_that_are_wrong_say_what_is") {
    struct Wrong {
        const char* pattern;
        const char* message;
    };
    const Wrong wrongs[] = {
        {"61 * * * *", "\"61\" is no minute: 0 to 59"},
        {"* 24 * * *", "\"24\" is no hour: 0 to 23"},
        {"* * 0 * *", "\"0\" is no day of the month: 1 to 31"},
        {"* * * foo *", "\"foo\" is no month: 1 to 12"},
        {"* * * * 8", "\"8\" is no day of the week: 0 to 6"},
        {"*/0 * * * *", "\"*/0\" is no minute"},
        {"5-1 * * * *", "\"5-1\" is no minute"},
        {"1,,2 * * * *", "\"\" is no minute"},
        {"* * * *", "has 4 fields instead of 5"},
        {"* * * * * *", "has 6 fields instead of 5"},
        {"@never", "has 1 fields instead of 5"},
        {"", "has 0 fields instead of 5"},
        {"0 0 31 feb *", "names a day that never comes"},
    };
    for (const Wrong& wrong : wrongs) {
        INFO(wrong.pattern);
        const auto parsed = CronPattern::parse(wrong.pattern);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().code() == Code::kInvalid);
        CHECK(parsed.error().message().find(wrong.message) != std::string::npos);
    }
}

TEST_CASE("cron_times_that_clocks_skip_come_when_they_have_skipped_them") {
    // On 29 March 2026, at 01:00 UTC, clocks in Berlin go from 02:00 to 03:00.
    CHECK(times("30 2 * * *", berlin(), "2026-03-28T00:00:00", 3) ==
          Times{"2026-03-28T01:30:00", "2026-03-29T01:00:00", "2026-03-30T00:30:00"});
    // Asked in the very moment, and in the second before.
    CHECK(times("30 2 * * *", berlin(), "2026-03-29T01:00:00", 1) == Times{"2026-03-30T00:30:00"});
    CHECK(times("30 2 * * *", berlin(), "2026-03-29T00:59:59", 1) == Times{"2026-03-29T01:00:00"});
    // All those that are skipped come once, together.
    CHECK(times("0,20,40 2 * * *", berlin(), "2026-03-29T00:00:00", 2) ==
          Times{"2026-03-29T01:00:00", "2026-03-30T00:00:00"});
    CHECK(times("0 3 * * *", berlin(), "2026-03-29T00:00:00", 2) ==
          Times{"2026-03-29T01:00:00", "2026-03-30T01:00:00"});
    // Every half hour: an hour has no more than it lasts.
    CHECK(times("*/30 * * * *", berlin(), "2026-03-29T00:00:00", 4) ==
          Times{"2026-03-29T00:30:00", "2026-03-29T01:00:00", "2026-03-29T01:30:00",
                "2026-03-29T02:00:00"});
}

TEST_CASE("cron_times_that_clocks_show_twice_come_once") {
    // On 25 October 2026, at 01:00 UTC, clocks in Berlin go from 03:00 back to 02:00.
    CHECK(times("30 2 * * *", berlin(), "2026-10-24T00:00:00", 3) ==
          Times{"2026-10-24T00:30:00", "2026-10-25T00:30:00", "2026-10-26T01:30:00"});
    // Asked while the clocks show it for the second time.
    CHECK(times("30 2 * * *", berlin(), "2026-10-25T01:20:00", 1) == Times{"2026-10-26T01:30:00"});
    CHECK(times("0 3 * * *", berlin(), "2026-10-25T00:00:00", 1) == Times{"2026-10-25T02:00:00"});
    // What names every hour comes in each of the 25 there are.
    CHECK(times("0 * * * *", berlin(), "2026-10-24T23:30:00", 4) ==
          Times{"2026-10-25T00:00:00", "2026-10-25T01:00:00", "2026-10-25T02:00:00",
                "2026-10-25T03:00:00"});
}

TEST_CASE("cron_times_of_a_year_never_repeat_and_never_go_back") {
    for (const char* pattern : {"30 2 * * *", "*/7 * * * *", "15 1-3 * * *", "0 0 1 * *"}) {
        INFO(pattern);
        const CronPattern cron = CronPattern::parse(pattern).value();
        const int64_t end = at("2027-01-01T00:00:00");
        int64_t moment = at("2026-01-01T00:00:00");
        size_t count = 0;
        while (moment < end) {
            const int64_t next = cron.next_in(berlin(), moment);
            REQUIRE(next > moment);
            // From anywhere between, it is the same one.
            CHECK(cron.next_in(berlin(), moment + (next - moment) / 2) == next);
            moment = next;
            ++count;
        }
        if (std::string_view(pattern) == "30 2 * * *") CHECK(count == 366);
    }
}

TEST_CASE("names_of_time_zones_are_paths_below_their_folder") {
    for (const char* good : {"UTC", "Europe/Berlin", "Etc/GMT+3", "America/Argentina/Buenos_Aires"})
        CHECK(is_time_zone_name(good));
    for (const char* bad : {"", "/etc/passwd", "../passwd", "Europe/../x", "a b", "a\n"})
        CHECK_FALSE(is_time_zone_name(bad));
    CHECK_FALSE(is_time_zone_name(std::string(65, 'a')));
}

}  // namespace
}  // namespace candela
