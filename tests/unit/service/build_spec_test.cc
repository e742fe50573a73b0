#include "service/build_spec.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

namespace candela::service {
namespace {

TEST_CASE("build_is_read_from_service_toml_and_stays_out_of_the_manifest") {
    const std::string text = R"(
name = "a"
command = ["x"]
[build]
commands = ["make"]
output = ["bin/a"]
network = false
timeout = "1m"
[build.env]
CC = "clang"
)";
    const auto manifest = parse_manifest(text);
    REQUIRE(manifest);
    CHECK_FALSE(to_json(*manifest).contains("build"));
    const BuildSpec spec = read_build_spec(text);
    CHECK(spec.is_written);
    CHECK(spec.commands == std::vector<std::string>{"make"});
    CHECK(spec.output == std::vector<std::string>{"bin/a"});
    CHECK(spec.env.at("CC") == "clang");
    CHECK_FALSE(spec.has_network);
    CHECK(spec.timeout == 60s);
    CHECK_FALSE(read_build_spec("name = \"a\"").is_written);
}

TEST_CASE("mistakes_of_build_are_told_with_all_others") {
    const auto manifest = parse_manifest(R"(
name = "Hello"
command = ["x"]
[build]
recipe = "ruby"
output = ["/abs", "a/../b", "ok"]
paths = ["relative"]
commands = [" "]
)");
    REQUIRE_FALSE(manifest);
    const std::string_view text = manifest.error().message();
    for (const char* line : {":2:", ":5:", ":6:11:", ":6:19:", ":7:", ":8:"}) {
        INFO(line);
        CHECK(text.find(line) != std::string_view::npos);
    }
    std::string many = "[build]\ncommands = [";
    for (size_t i = 0; i <= kBuildCommandsMax; ++i) many += "\"x\",";
    CHECK_FALSE(parse_manifest("name = \"a\"\ncommand = [\"x\"]\n" + many + "]"));
}

TEST_CASE("what_a_recipe_knows_stands_in_for_what_is_not_written") {
    ManifestDefaults defaults;
    defaults.name = "shop";
    defaults.kind = Kind::kStatic;
    defaults.root = "dist";
    defaults.env = {{"A", "recipe"}, {"B", "recipe"}};
    defaults.host = "shop.localhost";
    const auto all = parse_manifest("", "service.toml", defaults);
    REQUIRE(all);
    CHECK(all->name == "shop");
    CHECK(all->root == "dist");
    REQUIRE(all->routes.size() == 1);
    CHECK(all->routes[0].host == "shop.localhost");

    const auto mine = parse_manifest(
        "name = \"mine\"\ncommand = [\"x\"]\n[env]\nA = \"own\"\n[[route]]\nhost = \"h.test\"\n",
        "service.toml", defaults);
    REQUIRE(mine);
    CHECK(mine->kind == Kind::kHttp);  // who says a command says that it is no static site
    CHECK(mine->root == ".");
    CHECK(mine->env == std::map<std::string, std::string>{{"A", "own"}, {"B", "recipe"}});
    CHECK(mine->routes[0].host == "h.test");
}

}  // namespace
}  // namespace candela::service
