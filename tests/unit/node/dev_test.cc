#include "node/dev.h"

#include <array>

#include <catch2/catch_test_macros.hpp>

#include "node/example_profile.h"

using namespace candela;

namespace {

const ConfigSchema& bus_schema() {
    static const ConfigSchema schema({config_address("listen", "0.0.0.0:4222", "Where.")});
    return schema;
}
const ConfigSchema& web_schema() {
    static const ConfigSchema schema({
        config_string("url", "nats://127.0.0.1:4222", "Where the bus is."),
        config_string("upstream_url", "https://example.org:443", "Elsewhere."),
        config_address("any", "127.0.0.1:0", "Any port."),
        config_addresses("peers", {"[::]:7", "10.0.0.1:8"}, "Others."),
        config_string("missing", "", "Without a default."),
        config_tables("pool", ConfigSchema({config_address("to", "", "Where.").required()}),
                      "Pools."),
    });
    return schema;
}
void check_nothing(const Config&, ConfigProblems&) {}
std::unique_ptr<Role> create_none(NodeContext&, const Config&) { return nullptr; }

std::span<const RoleSpec> table() {
    static const std::array<RoleSpec, 2> rows{
        RoleSpec{"bus", "The bus.", bus_schema, check_nothing, create_none},
        RoleSpec{"web", "The web.", web_schema, check_nothing, create_none,
                 "[[web.pool]]\nto = \"127.0.0.1:8080\""}};
    return rows;
}

}  // namespace

TEST_CASE("dev_moves_every_port_and_stays_on_loopback") {
    DevOptions options;
    options.data_dir = "/d \"quoted\"";
    options.port_offset = 100;
    ConfigProblems problems("dev");
    const auto profile = dev_profile(table(), options, problems);
    REQUIRE(problems.format() == "");
    CHECK(profile->data_dir == "/d \"quoted\"");
    CHECK(profile->roles.size() == 2);
    CHECK(profile->endpoint == Address::tcp("127.0.0.1", 7501));
    CHECK(profile->config.table("bus").string("listen") == "127.0.0.1:4322");
    const Config& web = profile->config.table("web");
    CHECK(web.string("url") == "nats://127.0.0.1:4322");
    CHECK(web.string("upstream_url") == "https://example.org:443");
    CHECK(web.string("any") == "127.0.0.1:0");
    CHECK(web.strings("peers") == std::vector<std::string>{"127.0.0.1:107", "10.0.0.1:8"});
    CHECK(web.tables("pool").at(0).string("to") == "127.0.0.1:8180");
}

TEST_CASE("an_example_profile_shows_every_key_and_reads_back") {
    const auto text = example_profile("web, bus", table());
    REQUIRE(text);
    ConfigProblems problems("example");
    CHECK(read_profile(*text, table(), problems).has_value());
    CHECK(problems.format() == "");
    for (const char* part :
         {"roles = [\"web\", \"bus\"]", "\nlisten = \"0.0.0.0:4222\"", "# missing = \"\"",
          "# [[web.pool]]\n# Where. Required.\n# to = \"\"", "# url = \"\""}) {
        INFO(part);
        CHECK(text->find(part) != std::string::npos);
    }
}

TEST_CASE("an_example_without_the_bus_role_says_where_the_bus_is") {
    const auto text = example_profile("web", table());
    REQUIRE(text);
    CHECK(text->find("\nurl = \"127.0.0.1:4222\"") != std::string::npos);
    CHECK(text->find("listen") == std::string::npos);
    CHECK(example_profile("wob", table()).error().message() ==
          "unknown role \"wob\"; did you mean \"web\"?");
}
