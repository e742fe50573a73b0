#include "service/manifest_diff.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "service/manifest.h"

namespace candela::service {
namespace {

TEST_CASE("differences name the key and both values") {
    const Json before = {{"name", "a"},
                         {"instances", 2},
                         {"command", {"node", "x"}},
                         {"env", {{"A", "1"}, {"B", "2"}}},
                         {"route", Json::array({{{"host", "h"}, {"path", "/"}}})}};
    Json after = before;
    after["instances"] = 3;
    after["command"] = {"node", "y"};
    after["env"].erase("A");
    after["env"]["C"] = "3";
    after["route"][0]["path"] = "/api";
    after["route"].push_back({{"host", "g"}});
    const std::vector<Difference> expected = {
        {"command", R"(["node","x"])", R"(["node","y"])"},
        {"env.A", "\"1\"", ""},
        {"env.C", "", "\"3\""},
        {"instances", "2", "3"},
        {"route[0].path", "\"/\"", "\"/api\""},
        {"route[1].host", "", "\"g\""},
    };
    CHECK(differences(before, after) == expected);
    CHECK(differences(before, before).empty());
    CHECK(differences(nullptr, {{"a", 1}}) == std::vector<Difference>{{"a", "", "1"}});
}

TEST_CASE("strategies are read, and come back from JSON") {
    const auto parse = [](std::string_view update) {
        return parse_manifest("name = \"a\"\ncommand = [\"x\"]\n[update]\n" + std::string(update));
    };
    const auto canary = parse(
        "strategy = \"canary\"\ncanary_percent = 20\ncanary_weight = 5\npromote = \"hand\"\n");
    REQUIRE(canary);
    CHECK(canary->update.strategy == UpdateStrategy::kCanary);
    CHECK(canary->update.canary_percent == 20);
    CHECK(canary->update.canary_weight == 5);
    CHECK(canary->update.is_promoted_by_hand);
    CHECK(canary->update.promote_after == 5min);
    const auto green = parse("strategy = \"blue-green\"\n");
    REQUIRE(green);
    CHECK(green->update.promote_after == 0s);
    const auto late = parse("strategy = \"blue-green\"\npromote_after = \"30s\"\n");
    REQUIRE(late);
    CHECK(late->update.promote_after == 30s);
    for (const auto& manifest : {*canary, *green, *late}) {
        CHECK(manifest_from_json(to_json(manifest)) == manifest);
    }
    CHECK_FALSE(parse("strategy = \"blue\"\n"));
    CHECK_FALSE(parse("canary_percent = 0\n"));
    CHECK_FALSE(parse("canary_weight = 100\n"));
    CHECK_FALSE(parse("promote = \"me\"\n"));
    CHECK_FALSE(parse("strategy = \"canary\"\npromote_after = \"25h\"\n"));
    CHECK_FALSE(
        parse_manifest("name = \"a\"\nkind = \"job\"\ncommand = [\"x\"]\n[update]\n"
                       "strategy = \"canary\"\n"));
}

}  // namespace
}  // namespace candela::service
