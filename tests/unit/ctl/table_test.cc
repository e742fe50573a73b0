#include "ctl/table.h"

#include <catch2/catch_test_macros.hpp>

using namespace candela;
using namespace candela::ctl;

TEST_CASE("columns_are_as_wide_as_their_widest_cell") {
    Table table({"NAME", "N", "NOTE"});
    table.add({"a", "10", "x"});
    table.add({"longer", "1", ""});
    CHECK(table.render() ==
          "NAME    N   NOTE\n"
          "a       10  x\n"
          "longer  1   -\n");
}

TEST_CASE("columns_count_characters_not_bytes") {
    Table table({"A", "B"});
    table.add({"ü…", "x"});
    table.add({"abc", "y"});
    CHECK(table.render() == "A    B\nü…   x\nabc  y\n");
}

TEST_CASE("colours_do_not_change_the_alignment_and_leave_the_header") {
    Table table({"A", "B"});
    table.add({"x", "y"});
    CHECK(table.render([](size_t column, const std::string& cell) {
        return column == 0 ? "<" + cell + ">" : cell;
    }) == "A  B\n<x>  y\n");
}

TEST_CASE("cells_can_not_drive_the_terminal") {
    Table table({"A"});
    table.add({"\x1b[2J"});
    CHECK(table.render() == "A\n\\x1b[2J\n");
}

TEST_CASE("rows_that_are_too_short_are_filled") {
    Table table({"A", "B"});
    table.add({"x"});
    CHECK(table.render() == "A  B\nx  -\n");
}

TEST_CASE("lines_are_cut_at_characters") {
    CHECK(cut_to_width("abc", 3) == "abc");
    CHECK(cut_to_width("abcd", 3) == "ab…");
    CHECK(cut_to_width("äöüß", 3) == "äö…");
    CHECK(cut_to_width("abc", 0) == "");
}

TEST_CASE("durations_are_short") {
    CHECK(short_duration(10ms) == "now");
    CHECK(short_duration(59s) == "59s");
    CHECK(short_duration(119s) == "1m");
    CHECK(short_duration(47h) == "47h");
    CHECK(short_duration(72h) == "3d");
    CHECK(age("2026-01-01T00:00:00Z", *parse_rfc3339("2026-01-01T00:05:00Z")) == "5m");
    CHECK(age("", WallTime()) == "-");
}
