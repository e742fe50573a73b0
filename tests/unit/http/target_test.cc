#include "http/target.h"

#include <catch2/catch_test_macros.hpp>

using namespace candela;
using namespace candela::http;

TEST_CASE("paths_have_one_normal_form") {
    const std::pair<const char*, const char*> cases[] = {
        {"/", "/"},
        {"/a/b", "/a/b"},
        {"/a/./b", "/a/b"},
        {"/a/../b", "/b"},
        {"/a/b/..", "/a/"},
        {"/a/b/.", "/a/b/"},
        {"/a/..", "/"},
        {"/.", "/"},
        {"/a/%2e%2E/b", "/b"},
        {"/a/.%2e/b", "/b"},
        {"/%2e/a", "/a"},
        {"/%61%7Eb", "/a~b"},
        {"/a%2fb", "/a%2Fb"},
        {"/a%2F..%2Fb", "/a%2F..%2Fb"},
        {"/a%20b", "/a%20b"},
        {"/a%5cb", "/a%5Cb"},
        {"/%c3%a4", "/%C3%A4"},
        {"/%25%32%65", "/%252e"},  // decoded once, never twice
        {"//a", "//a"},
        {"/a//b/", "/a//b/"},
        {"/a//../b", "/a/b"},
        {"/...", "/..."},
        {"/..a/.b", "/..a/.b"},
        {"/a;b=c,d:e@f!$&'()*+", "/a;b=c,d:e@f!$&'()*+"},
        {"/a|b^c`{d}[e]", "/a|b^c`{d}[e]"},
    };
    for (const auto& [given, expected] : cases) {
        INFO(given);
        const Result<std::string> normal = normalize_path(given);
        REQUIRE(normal);
        CHECK(*normal == expected);
        CHECK(is_normal_path(*normal));
        CHECK(is_normal_path(given) == (std::string_view(given) == expected));
        CHECK(normalize_path(*normal).value() == *normal);
    }
}

TEST_CASE("paths_that_lead_astray_are_refused") {
    for (const std::string_view path :
         {"",      "a",     "/..",   "/../a", "/a/../..", "/a/../../b", "/%2e%2e/a", "/%2e%2e",
          "/a%",   "/a%2",  "/a%zz", "/a%2g", "/a%00b",   "/a\\b",      "/a\\..\\b", "/a b",
          "/a\tb", "/a\"b", "/<a>",  "/a#b",  "/a?b",     "/\x7f",      "/\xc3\xa4"}) {
        INFO(path);
        const Result<std::string> normal = normalize_path(path);
        CHECK_FALSE(normal);
        CHECK_FALSE(is_normal_path(path));
    }
}

TEST_CASE("targets_split_at_the_first_question_mark") {
    CHECK(split_target("/a?b?c").path == "/a");
    CHECK(split_target("/a?b?c").query == "b?c");
    CHECK_FALSE(split_target("/a").has_query);
    CHECK(split_target("/a?").has_query);
}

TEST_CASE("percent_encoding_round_trips") {
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
    CHECK(percent_decode(percent_encode(all)).value() == all);
    CHECK(percent_encode("a b/c") == "a%20b%2Fc");
    CHECK(percent_decode("a+b", true).value() == "a b");
    CHECK(percent_decode("a+b").value() == "a+b");
    CHECK_FALSE(percent_decode("%"));
    CHECK_FALSE(percent_decode("%4"));
    CHECK_FALSE(percent_decode("%4x"));
}

TEST_CASE("query_parameters_are_decoded_in_order") {
    const QueryParams params = parse_query("a=1&b=x%20y+z&&c&=d&a=2&e=f=g").value();
    const QueryParams expected = {{"a", "1"}, {"b", "x y z"}, {"c", ""},
                                  {"", "d"},  {"a", "2"},     {"e", "f=g"}};
    CHECK(params == expected);
    CHECK(parse_query("").value().empty());
    CHECK_FALSE(parse_query("a=%zz"));
}

TEST_CASE("authorities_are_a_host_and_maybe_a_port") {
    CHECK(parse_authority("a.b:80")->port == "80");
    CHECK(parse_authority("[::1]:80")->host == "[::1]");
    CHECK(parse_authority("[::1]")->port.empty());
    for (const std::string_view bad :
         {"", ":80", "a:b", "a:99999", "u@a", "[::1", "[]", "[x]", "a b"}) {
        INFO(bad);
        CHECK_FALSE(parse_authority(bad).has_value());
    }
}
