// Text that is not TOML: every mistake once, at its place, and never a crash.

#include "base/config.h"

#include <catch2/catch_test_macros.hpp>

using namespace candela;

namespace {
std::string report(std::string_view text) {
    static const ConfigSchema schema({
        config_int("a", "0", "A."),
        config_int("b", "0", "B."),
        config_string("s", "", "S."),
        config_strings("list", {}, "List."),
        config_table("t", ConfigSchema({config_int("x", "0", "X.")}), "T."),
    });
    ConfigProblems problems("f");
    read_config(text, schema, problems);
    return problems.format();
}
}  // namespace

TEST_CASE("text_without_quotes_is_explained") {
    CHECK(report("s = hello\n") ==
          "f:1:5: error: hello is not a value; text needs quotes: \"hello\"");
    CHECK(report("s = true!\n") != "");
    CHECK(report("a =\n") == "f:1:4: error: a value is missing after \"=\"");
    CHECK(report("list = [\"x\", tru]\n") ==
          "f:1:14: error: tru is not a value; write true or false, and text in quotes");
}

TEST_CASE("syntax_errors_do_not_hide_each_other_or_what_follows") {
    CHECK(report("a = x1\n"
                 "foo\n"
                 "[t]\n"
                 "y = 1\n"
                 "s = \"abc\n"
                 "x = 1 2\n") ==
          "f:1:5: error: x1 is not a value; text needs quotes: \"x1\"\n"
          "f:2:4: error: expected \"=\" and a value after the key\n"
          "f:4:1: error: unknown key \"y\" in [t]; known are x\n"
          "f:5:5: error: this \" is not closed on its line\n"
          "f:6:7: error: expected the end of the line");
}

TEST_CASE("brackets_left_open_are_found_where_they_opened") {
    CHECK(report("list = [\"a\",\nb = 2\n") == "f:1:8: error: \"[\" is not closed");
    CHECK(report("list = [\"a\",\n") == "f:1:8: error: \"[\" is not closed");
    CHECK(report("t = { x = 1\nb = 2\n") ==
          "f:1:5: error: \"{\" is not closed: an inline table stays on one line");
    CHECK(report("[t\nx = 1\n") == "f:1:1: error: \"[\" is not closed");
    CHECK(report("list = []]\n") == "f:1:10: error: \"]\" closes nothing that is open");
    CHECK(report("s = \"\"\"abc\n") ==
          "f:1:5: error: \"\"\" is not closed before the end of the file");
}

TEST_CASE("keys_under_a_faulty_header_are_not_blamed") {
    CHECK(report("[t\nzzz = 1\n[t]\nx = 1\n") == "f:1:1: error: \"[\" is not closed");
}

TEST_CASE("duplicates_are_reported_with_the_first_place") {
    CHECK(report("a = 1\nb = 2\na = 3\nb = 4\n") ==
          "f:3:1: error: this was already defined in line 1\n"
          "f:4:1: error: this was already defined in line 2");
    CHECK(report("[t]\nx = 1\n[t]\nx = 2\n") == "f:3:1: error: this was already defined in line 1");
}

TEST_CASE("strings_and_comments_may_hold_brackets_and_quotes") {
    CHECK(report("# [ { \" '''\ns = \"[{#'\" # ]\nlist = ['\"', \"\"\"\n[\n\"\"\", '''{''']\n") ==
          "");
    CHECK(report("s = \"\"\"a\"\"\"\"\"\na = 1\n") == "");
    CHECK(report("s = \"\\\\\"\na = 1\n") == "");
    CHECK(report("s = '\\'\na = 1\n") == "");
}

TEST_CASE("windows_line_ends_and_a_byte_order_mark_are_fine") {
    CHECK(report("\xEF\xBB\xBF"
                 "a = 1 # c\r\n[t]\r\nx = 2\r\n") == "");
}

TEST_CASE("bytes_that_are_not_text_are_refused_with_their_line") {
    CHECK(report("a = 1\ns = \"\xff\"\n") == "f:2:1: error: this line is not UTF-8 text");
    CHECK(report(std::string_view("a = 1\0\n", 7)) == "f:1:1: error: this line is not UTF-8 text");
    CHECK(report("a = 1 # \x01\n") == "f:1:9: error: control byte \\x01 in a comment");
}

TEST_CASE("depth_and_size_are_bounded") {
    CHECK(report("a = " + std::string(100'000, '[') + "\n") ==
          "f:1:37: error: nested deeper than 32 levels");
    std::string dots = "a";
    for (int i = 0; i < 50'000; ++i) dots += ".a";
    CHECK(report(dots + " = 1\n").find("nested deeper than 32 levels") != std::string::npos);
    CHECK(report("[" + dots + "]\n").find("nested deeper than 32 levels") != std::string::npos);
    std::string braces = "a = ";
    for (int i = 0; i < 50'000; ++i) braces += "{a=";
    CHECK(report(braces).find("nested deeper than 32 levels") != std::string::npos);
    CHECK(report(std::string(kConfigTextMax + 1, '\n')) ==
          "f:1:1: error: the file is larger than 256.0 KiB");
}

TEST_CASE("missing_keys_are_not_reported_beside_syntax_errors") {
    const ConfigSchema schema({config_string("name", "", "Name.").required()});
    ConfigProblems problems("f");
    read_config("name = hello\n", schema, problems);
    CHECK(problems.size() == 1);
}

TEST_CASE("arrays_over_lines_may_hold_nested_arrays_and_tables") {
    CHECK(report("list = [\n  \"a\", # one\n\n  \"b\"\n]\na = 2\n") == "");
    CHECK(report("list = [\n[1],\n{ x = 1 },\n]\n") != "");
}

TEST_CASE("empty_text_is_an_empty_table") {
    CHECK(report("") == "");
    CHECK(report("\n\n# c") == "");
}
