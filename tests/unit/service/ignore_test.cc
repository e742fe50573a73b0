#include "service/ignore.h"

#include <catch2/catch_test_macros.hpp>

namespace candela::service {

static bool ignored(std::string_view rules, std::string_view path, bool is_folder = false) {
    const auto parsed = IgnoreRules::parse(rules);
    REQUIRE(parsed);
    return parsed->is_ignored(path, is_folder);
}

TEST_CASE("a name without a slash is ignored at any depth") {
    CHECK(ignored("*.log", "a.log"));
    CHECK(ignored("*.log", "deep/er/a.log"));
    CHECK_FALSE(ignored("*.log", "a.log.txt"));
    CHECK(ignored("secret", "secret"));
    CHECK_FALSE(ignored("secret", "secrets"));
}

TEST_CASE("a slash ties a pattern to the root") {
    CHECK(ignored("/build", "build", true));
    CHECK_FALSE(ignored("/build", "src/build", true));
    CHECK(ignored("src/gen", "src/gen"));
    CHECK_FALSE(ignored("src/gen", "x/src/gen"));
}

TEST_CASE("a slash at the end means folders only") {
    CHECK(ignored("out/", "out", true));
    CHECK(ignored("out/", "a/out", true));
    CHECK_FALSE(ignored("out/", "out", false));
}

TEST_CASE("two stars stand for any number of folders") {
    CHECK(ignored("**/cache", "cache"));
    CHECK(ignored("**/cache", "a/b/cache"));
    CHECK(ignored("a/**/z", "a/z"));
    CHECK(ignored("a/**/z", "a/b/c/z"));
    CHECK_FALSE(ignored("a/**/z", "b/z"));
    CHECK(ignored("a/**", "a/b"));
    CHECK_FALSE(ignored("a/**", "a", true));
}

TEST_CASE("the last line that matches decides") {
    const std::string_view rules = "*.txt\n!keep.txt\n/deep/keep.txt\n";
    CHECK(ignored(rules, "a.txt"));
    CHECK_FALSE(ignored(rules, "keep.txt"));
    CHECK(ignored(rules, "deep/keep.txt"));
}

TEST_CASE("classes, question marks and escapes match one letter") {
    CHECK(ignored("file[0-9]", "file7"));
    CHECK_FALSE(ignored("file[!0-9]", "file7"));
    CHECK(ignored("a?c", "abc"));
    CHECK_FALSE(ignored("a?c", "ac"));
    CHECK(ignored("\\#x", "#x"));
    CHECK(ignored("\\!x", "!x"));
    CHECK(ignored("a\\*", "a*"));
    CHECK_FALSE(ignored("a\\*", "ab"));
    CHECK(ignored("[x", "[x"));
}

TEST_CASE("comments, blank lines, trailing blanks and CRLF do not count") {
    const std::string_view rules = "# note\r\n\r\n*.o  \r\n";
    CHECK(ignored(rules, "a.o"));
    CHECK_FALSE(ignored(rules, "# note"));
    CHECK_FALSE(ignored("/\n!\n", "a"));
}

TEST_CASE("a hostile pattern takes no exponential time") {
    std::string pattern, name;
    for (int i = 0; i < 100; ++i) pattern += "a*";
    for (int i = 0; i < 250; ++i) name += 'a';
    CHECK_FALSE(ignored(pattern + "b", name));
}

TEST_CASE("limits of the file are errors that name the line") {
    std::string many;
    for (size_t i = 0; i <= IgnoreRules::kRulesMax; ++i) many += "x\n";
    CHECK(IgnoreRules::parse(many).error().code() == Code::kExhausted);
    const auto error = IgnoreRules::parse("a\n" + std::string(600, 'x'));
    CHECK(error.error().message().starts_with(".candelaignore:2:"));
}

}  // namespace candela::service
