#include "settings.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace candela;
using namespace candela::loadbalancer;
using Catch::Matchers::ContainsSubstring;

namespace {

std::string problems_of(std::string_view text) {
    ConfigProblems problems("x.toml");
    const Config config = read_config(text, settings_schema(), problems);
    check_settings(config, problems);
    return problems.format();
}

}  // namespace

TEST_CASE("upstreams, checks and limits are read") {
    ConfigProblems problems("x.toml");
    const Config config = read_config(
        "listen = \"127.0.0.1:0\"\ntrusted_proxies = [\"10.0.0.0/8\"]\nhold_timeout = \"5s\"\n"
        "[check]\npath = \"/healthz\"\ninterval = \"500ms\"\n"
        "[[upstream]]\naddress = \"127.0.0.1:9001\"\n[[upstream]]\naddress = \"unix:/run/x.sock\"\n",
        settings_schema(), problems);
    check_settings(config, problems);
    REQUIRE(problems.empty());
    const Settings settings = read_settings(config);
    CHECK(settings.upstreams.size() == 2);
    CHECK(settings.check.path == "/healthz");
    CHECK(settings.check.interval == 500ms);
    CHECK(settings.pool.hold_timeout == 5s);
    CHECK(settings.proxy.trusted_peers.contains("10.1.2.3"));
    CHECK_FALSE(settings.proxy.trusted_peers.contains("11.1.2.3"));
}

TEST_CASE("mistakes are named with their place") {
    CHECK_THAT(problems_of("trusted_proxies = [\"10.0.0.0/33\"]\n"),
               ContainsSubstring("x.toml:1:") && ContainsSubstring("0 to 32"));
    CHECK_THAT(problems_of("trusted_proxies = [\"localhost\"]\n"), ContainsSubstring("neither"));
    CHECK_THAT(
        problems_of(
            "[[upstream]]\naddress = \"127.0.0.1:1\"\n[[upstream]]\naddress = \"127.0.0.1:1\"\n"),
        ContainsSubstring("x.toml:4:") && ContainsSubstring("twice"));
    CHECK_THAT(problems_of("[[upstream]]\n"), ContainsSubstring("address"));
    CHECK_THAT(problems_of("[check]\npath = \"/a/../b\"\n"), ContainsSubstring("x.toml:2:"));
}
