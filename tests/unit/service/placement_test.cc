#include "service/placement.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "service/manifest.h"

namespace candela::service {
namespace {

constexpr std::string_view kHead = "name = \"a\"\ncommand = [\"x\"]\n";

std::string mistakes(std::string_view rest) {
    const auto manifest = parse_manifest(std::string(kHead) + std::string(rest));
    REQUIRE_FALSE(manifest);
    return manifest.error().message();
}

TEST_CASE("resources and placement are read, and come back from JSON") {
    const auto manifest = parse_manifest(std::string(kHead) + R"(
[resources]
cpu = 0.25
memory = "256MiB"
[placement]
constraints = ["disk=ssd", "zone!=b", "gpu", "!spot", "empty="]
affinities = ["zone=a"]
spread = "zone"
)");
    REQUIRE(manifest);
    CHECK(manifest->resources == Resources(250, 256ULL << 20));
    REQUIRE(manifest->placement.constraints.size() == 5);
    CHECK(manifest->placement.constraints[1] == LabelRule(LabelRule::Type::kDiffers, "zone", "b"));
    CHECK(manifest->placement.affinities.size() == 1);
    CHECK(manifest->placement.spread == "zone");
    const auto again = manifest_from_json(to_json(*manifest));
    REQUIRE(again);
    CHECK(*again == *manifest);
    const auto plain = parse_manifest(kHead);
    REQUIRE(plain);
    CHECK(plain->resources == Resources());
    CHECK(plain->placement == Placement());
    CHECK(manifest_from_json(to_json(*plain)) == *plain);
}

TEST_CASE("rules are met by labels as they are written") {
    const Labels labels = {{"disk", "ssd"}, {"gpu", ""}};
    const auto is_met = [&](std::string_view rule) {
        return parse_label_rule(rule)->is_met_by(labels);
    };
    CHECK(is_met("disk=ssd"));
    CHECK_FALSE(is_met("disk=hdd"));
    CHECK_FALSE(is_met("zone=a"));
    CHECK(is_met("disk!=hdd"));
    CHECK_FALSE(is_met("disk!=ssd"));
    CHECK(is_met("zone!=a"));
    CHECK(is_met("gpu"));
    CHECK(is_met("gpu="));
    CHECK_FALSE(is_met("!gpu"));
    CHECK(is_met("!zone"));
    for (const std::string_view rule : {"disk=ssd", "disk!=ssd", "gpu", "!gpu", "gpu="}) {
        CHECK(to_string(*parse_label_rule(rule)) == rule);
    }
    for (const std::string_view bad : {"", "=", "!", "=x", "!=x", "a b", "a=b=c", "a=b c"}) {
        CHECK_FALSE(parse_label_rule(bad));
    }
    CHECK_FALSE(parse_label_rule(std::string(64, 'a')));
    CHECK(parse_label_rule(std::string(63, 'a')));
}

TEST_CASE("mistakes of resources and placement have their places") {
    CHECK(mistakes("[resources]\ncpu = -1\n").find("service.toml:4:") != std::string::npos);
    CHECK(mistakes("[resources]\ncpu = 1025\n").find("service.toml:4:") != std::string::npos);
    CHECK(mistakes("[resources]\nmemory = \"1KiB\"\n").find("out of range") != std::string::npos);
    CHECK(mistakes("[resources]\nmemroy = 1\n").find("memory") != std::string::npos);
    CHECK(mistakes("[placement]\nconstraints = [\"a=b\",\n\"a b\"]\n").find("service.toml:5:") !=
          std::string::npos);
    CHECK(mistakes("[placement]\nspread = \"a=b\"\n").find("not a label's name") !=
          std::string::npos);
    std::string many = "[placement]\naffinities = [";
    for (size_t i = 0; i <= kLabelRulesMax; ++i) many += "\"gpu\",";
    CHECK(mistakes(many + "]\n").find("33 entries; 32 are the most") != std::string::npos);

    Json json = to_json(*parse_manifest(kHead));
    json["resources"]["cpu"] = "much";
    json["placement"]["constraints"] = {"a b"};
    const auto wrong = manifest_from_json(json);
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().message().find("resources.cpu: must be a number") != std::string::npos);
    json["resources"]["cpu"] = 2000;
    const auto large = manifest_from_json(json);
    REQUIRE_FALSE(large);
    CHECK(large.error().message().find("2000 is out of range") != std::string::npos);
    CHECK(large.error().message().find("placement[0].constraints") != std::string::npos);
}

}  // namespace
}  // namespace candela::service
