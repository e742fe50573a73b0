#include "service/manifest_diff.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include "service/manifest.h"

namespace candela::service {
namespace {

using Catch::Matchers::ContainsSubstring;

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

TEST_CASE("how a canary is judged is read, and comes back from JSON") {
    const auto parse = [](std::string_view update, std::string_view kind = "http") {
        return parse_manifest(
            fmt::format("name = \"a\"\nkind = \"{}\"\ncommand = [\"x\"]\n"
                        "[update]\n{}",
                        kind, update));
    };
    const auto plain = parse("strategy = \"canary\"\n");
    REQUIRE(plain);
    CHECK_FALSE(plain->update.analysis);
    const auto usual = parse("strategy = \"canary\"\nanalysis = {}\n");
    REQUIRE(usual);
    CHECK(usual->update.analysis == UpdateAnalysis());
    const auto own = parse(
        "strategy = \"canary\"\n[update.analysis]\nrequests_min = 500\nerror_rate_max = 0.25\n"
        "error_rate_above_old_max = 100\np99_max = \"200ms\"\np99_above_old_max = 0\n"
        "timeout = \"30m\"\n");
    REQUIRE(own);
    const UpdateAnalysis expected{500, 25, kWholeRate, 200ms, 0, 30min};
    CHECK(own->update.analysis == expected);
    for (const auto& manifest : {*plain, *usual, *own}) {
        CHECK(manifest_from_json(to_json(manifest)) == manifest);
    }
    const auto mistake = [&](std::string_view update, std::string_view kind = "http") {
        const auto manifest = parse(update, kind);
        REQUIRE_FALSE(manifest);
        return manifest.error().message();
    };
    CHECK_THAT(mistake("analysis = {}\n"), ContainsSubstring("only a canary is judged"));
    CHECK_THAT(mistake("strategy = \"canary\"\nanalysis = {}\n", "bus"),
               ContainsSubstring("of kind \"bus\""));
    CHECK_THAT(mistake("strategy = \"canary\"\nanalysis = {timeout = \"5m\"}\n"),
               ContainsSubstring("longer than promote_after, 5m"));
    CHECK_THAT(mistake("strategy = \"canary\"\nanalysis = {timeout = \"5s\"}\n"),
               ContainsSubstring("timeout must be 10s to 1d"));
    CHECK_THAT(mistake("strategy = \"canary\"\nanalysis = {p99_max = \"2m\"}\n"),
               ContainsSubstring("p99_max must be 0s to 1m"));
    CHECK_THAT(mistake("strategy = \"canary\"\nanalysis = {requests_min = 9}\n"),
               ContainsSubstring("must be from 10 to 1000000"));
    CHECK_THAT(mistake("strategy = \"canary\"\nanalysis = {requests = 9}\n"),
               ContainsSubstring("requests_min"));
    // A person may take all the time there is.
    CHECK(parse("strategy = \"canary\"\npromote = \"hand\"\nanalysis = {timeout = \"1m\"}\n"));
}

}  // namespace
}  // namespace candela::service
