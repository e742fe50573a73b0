#include "line_splitter.h"

#include <vector>

#include <catch2/catch_test_macros.hpp>

namespace candela::host {
namespace {

struct Lines {
    std::vector<std::string> lines;
    LineSplitter splitter{[this](std::string_view line) { lines.emplace_back(line); }};
};

TEST_CASE_METHOD(Lines, "lines_come_whole_however_the_bytes_come") {
    const std::string text = "one\ntwo\r\n\nthree";
    for (const char c : text) splitter.feed(std::string_view(&c, 1));
    splitter.finish();
    CHECK(lines == std::vector<std::string>{"one", "two", "", "three"});
    lines.clear();
    splitter.feed(text);
    splitter.finish();
    CHECK(lines == std::vector<std::string>{"one", "two", "", "three"});
}

TEST_CASE_METHOD(Lines, "a_long_line_is_cut_and_says_so") {
    for (int i = 0; i < 1000; ++i) splitter.feed(std::string(10'000, 'x'));
    splitter.feed("\nnext\n");
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].size() <= LineSplitter::kLineMax);
    CHECK(lines[0].ends_with("bytes cut)"));
    CHECK(lines[1] == "next");
}

TEST_CASE_METHOD(Lines, "bytes_that_are_not_text_pass_unharmed") {
    splitter.feed(std::string_view("a\0\xff\n", 4));
    CHECK(lines == std::vector<std::string>{std::string("a\0\xff", 3)});
}

}  // namespace
}  // namespace candela::host
