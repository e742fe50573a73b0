#include "base/time_zone.h"

#include <fstream>
#include <sstream>

#include <catch2/catch_test_macros.hpp>

using namespace candela;

namespace {

// Seconds of UTC.
int64_t utc(int year, unsigned month, unsigned day, int hour, int minute = 0) {
    const std::chrono::sys_days date =
        std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day);
    return std::chrono::duration_cast<std::chrono::seconds>(date.time_since_epoch()).count() +
           hour * 3600 + minute * 60;
}

void append(std::string& out, int64_t value, int size) {
    for (int shift = (size - 1) * 8; shift >= 0; shift -= 8) {
        out += static_cast<char>(value >> shift & 0xff);
    }
}

// A file with one change, from +1:00 to +2:00 at 1000, and a rule for what comes after.
std::string small_file(std::string_view rule) {
    std::string header = "TZif2" + std::string(15, '\0');
    const auto counts = [&](std::string& out, int64_t times, int64_t types) {
        for (const int64_t count : {int64_t{0}, int64_t{0}, int64_t{0}, times, types, int64_t{4}}) {
            append(out, count, 4);
        }
    };
    std::string out = header;
    counts(out, 0, 1);
    append(out, 0, 6);
    out += std::string("UTC\0", 4);
    out += header;
    counts(out, 1, 2);
    append(out, 1000, 8);
    out += '\1';
    append(out, 3600, 4);
    append(out, 0, 2);
    append(out, 7200, 4);
    append(out, 0x0100, 2);
    out += std::string("ABC\0", 4);
    return out + "\n" + std::string(rule) + "\n";
}

}  // namespace

TEST_CASE("time_zone_rules_change_clocks_when_they_say") {
    const TimeZone berlin = TimeZone::parse_rule("CET-1CEST,M3.5.0,M10.5.0/3").value();
    CHECK(berlin.offset_at(utc(2026, 1, 15, 12)) == 3600);
    CHECK(berlin.offset_at(utc(2026, 7, 15, 12)) == 7200);
    CHECK(berlin.offset_at(utc(2026, 3, 29, 0, 59)) == 3600);
    CHECK(berlin.offset_at(utc(2026, 3, 29, 1, 0)) == 7200);
    CHECK(berlin.offset_at(utc(2026, 10, 25, 0, 59)) == 7200);
    CHECK(berlin.offset_at(utc(2026, 10, 25, 1, 0)) == 3600);
    const TimeZone new_york = TimeZone::parse_rule("EST5EDT,M3.2.0,M11.1.0").value();
    CHECK(new_york.offset_at(utc(2026, 3, 8, 6, 59)) == -5 * 3600);
    CHECK(new_york.offset_at(utc(2026, 3, 8, 7, 0)) == -4 * 3600);
    // In the south summer goes over the year's end.
    const TimeZone sydney = TimeZone::parse_rule("AEST-10AEDT,M10.1.0,M4.1.0/3").value();
    CHECK(sydney.offset_at(utc(2026, 1, 1, 0)) == 11 * 3600);
    CHECK(sydney.offset_at(utc(2026, 7, 1, 0)) == 10 * 3600);
    CHECK(TimeZone::parse_rule("<+0545>-5:45").value().offset_at(0) == 5 * 3600 + 45 * 60);
    CHECK(TimeZone::parse_rule("XXX3YYY2,J60/0,J300/0").value().offset_at(utc(2024, 3, 1, 4)) ==
          -2 * 3600);
    for (const std::string_view bad : {"", "CE-1", "CET", "CET-1CEST", "CET-1CEST,M13.1.0,M1.1.0",
                                       "CET-1CEST,M3.5.0,M10.5.0/3x", "<CET-1", "CET-999"}) {
        CHECK_FALSE(TimeZone::parse_rule(bad).has_value());
    }
}

TEST_CASE("time_zone_files_are_read_and_cut_ones_refused") {
    const std::string file = small_file("CET-1");
    const TimeZone zone = TimeZone::parse(file).value();
    CHECK(zone.offset_at(999) == 3600);
    CHECK(zone.offset_at(1000) == 3600);  // by the rule, which follows the last change
    CHECK(TimeZone::parse(small_file("")).value().offset_at(1000) == 7200);
    CHECK(TimeZone::parse(small_file("")).value().offset_at(999) == 3600);
    for (size_t size = 0; size + 8 < file.size(); ++size) {
        CHECK_FALSE(TimeZone::parse(file.substr(0, size)).has_value());
    }
    CHECK_FALSE(TimeZone::parse(std::string(100, 'x')).has_value());
}

TEST_CASE("time_zone_files_of_this_machine_agree_with_their_rules") {
    std::ifstream in("/usr/share/zoneinfo/Europe/Berlin", std::ios::binary);
    if (!in) SKIP("no zones are installed here");
    std::stringstream text;
    text << in.rdbuf();
    const TimeZone zone = TimeZone::parse(text.str()).value();
    CHECK(zone.offset_at(utc(2026, 7, 15, 12)) == 7200);
    CHECK(zone.offset_at(utc(2060, 1, 15, 12)) == 3600);
    CHECK(zone.offset_at(utc(1970, 7, 1, 0)) == 3600);
}
