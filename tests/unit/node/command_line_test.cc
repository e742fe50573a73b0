#include "node/command_line.h"

#include <catch2/catch_test_macros.hpp>

using namespace candela;

namespace {
constexpr CommandOption kOptions[] = {
    {"--config", "FILE", "A file.", CommandOption::Takes::kValue},
    {"--check", "[FILE]", "Checks.", CommandOption::Takes::kMaybeValue},
    {"--help", "", "Helps.", CommandOption::Takes::kNothing}};

std::string error_of(std::vector<std::string_view> arguments) {
    const auto parsed = parse_options(arguments, kOptions);
    return parsed ? "" : parsed.error().message();
}
}  // namespace

TEST_CASE("options_take_values_in_both_spellings") {
    const std::vector<std::string_view> spaced{"--config", "a", "--help"};
    CHECK(parse_options(spaced, kOptions)->value_or("--config", "") == "a");
    const std::vector<std::string_view> joined{"--config=a=b"};
    CHECK(parse_options(joined, kOptions)->value_or("--config", "") == "a=b");
}

TEST_CASE("an_optional_value_may_be_absent") {
    const std::vector<std::string_view> arguments{"--check", "--config", "a"};
    const auto parsed = parse_options(arguments, kOptions);
    REQUIRE(parsed);
    CHECK(parsed->has("--check"));
    CHECK(parsed->value_or("--check", "none") == "none");
}

TEST_CASE("wrong_options_are_explained") {
    CHECK(error_of({"--confg", "a"}) == "unknown option \"--confg\"; did you mean \"--config\"?");
    CHECK(error_of({"--zzzzzzzzzz"}) ==
          "unknown option \"--zzzzzzzzzz\"; there are --config, --check, --help");
    CHECK(error_of({"--config"}) == "--config needs a value: --config FILE");
    CHECK(error_of({"--help=1"}) == "--help takes no value");
    CHECK(error_of({"--config", "a", "--config", "b"}) == "--config is given twice");
    CHECK(error_of({"x"}) == "unexpected \"x\"");
}
