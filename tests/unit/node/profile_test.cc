#include "node/profile.h"

#include <array>

#include <catch2/catch_test_macros.hpp>

using namespace candela;

namespace {

const ConfigSchema& bus_schema() {
    static const ConfigSchema schema({config_address("listen", "127.0.0.1:4222", "Where.")});
    return schema;
}
const ConfigSchema& web_schema() {
    static const ConfigSchema schema({
        config_address("listen", "127.0.0.1:8080", "Where."),
        config_string("secret", "", "What.").required(),
        config_int("low", "1", "Low."),
        config_int("high", "2", "High."),
    });
    return schema;
}
void check_nothing(const Config&, ConfigProblems&) {}
void check_order(const Config& config, ConfigProblems& problems) {
    if (config.integer("low") <= config.integer("high")) return;
    problems.add(config.position("low"), "low is above high");
}
std::unique_ptr<Role> create_none(NodeContext&, const Config&) { return nullptr; }

std::span<const RoleSpec> table() {
    static const std::array<RoleSpec, 2> rows{
        RoleSpec{"bus", "The bus.", bus_schema, check_nothing, create_none},
        RoleSpec{"web", "The web.", web_schema, check_order, create_none}};
    return rows;
}

std::string report(std::string_view text) {
    ConfigProblems problems("p.toml");
    const auto profile = read_profile(text, table(), problems);
    CHECK(profile.has_value() == problems.empty());
    return problems.format();
}

}  // namespace

TEST_CASE("a_whole_profile_reads") {
    ConfigProblems problems("p.toml");
    const auto profile = read_profile(
        "[node]\nname = \"n-1\"\nroles = [\"web\", \"bus\"]\ndata_dir = \"/d\"\nworkers = 3\n"
        "log_level = \"debug\"\n[bus]\nlisten = \"127.0.0.1:5\"\ncredentials = \"/c\"\n"
        "[web]\nsecret = \"s\"\n",
        table(), problems);
    REQUIRE(problems.format() == "");
    CHECK(profile->name == "n-1");
    CHECK(profile->workers == 3);
    CHECK(profile->data_dir == "/d");
    CHECK(profile->log_level == LogLevel::kDebug);
    CHECK(profile->endpoint == Address::tcp("127.0.0.1", 7401));
    CHECK_FALSE(profile->bus.has_value());
    CHECK(profile->bus_credentials == "/c");
    REQUIRE(profile->roles.size() == 2);
    CHECK(profile->roles[0]->name == "bus");  // in the order of the table, not of the file
    CHECK(profile->config.table("bus").string("listen") == "127.0.0.1:5");
    CHECK(profile->config.table("web").string("secret") == "s");
}

TEST_CASE("workers_default_to_the_cores_and_the_name_to_the_host") {
    ConfigProblems problems("p.toml");
    const auto profile = read_profile("[node]\nroles = [\"bus\"]\n", table(), problems);
    REQUIRE(problems.format() == "");
    CHECK(profile->workers >= 1);
    CHECK(is_node_name(profile->name));
    // Nodes of one role often share a machine.
    CHECK(profile->name == host_name() + "-bus");
    const auto both = read_profile("[node]\nroles = [\"bus\", \"web\"]\n[web]\nsecret = \"s\"\n",
                                   table(), problems);
    REQUIRE(problems.format() == "");
    CHECK(both->name == host_name());
}

TEST_CASE("every_mistake_of_a_profile_is_reported") {
    CHECK(
        report("[node]\n"
               "name = \"a b\"\n"
               "roles = [\"web\", \"buz\", \"web\"]\n"
               "data_dir = \"here\"\n"
               "endpoint = \"0.0.0.0:7401\"\n"
               "log_level = \"loud\"\n"
               "[wob]\n"
               "[web]\n"
               "low = 5\n") ==
        "p.toml:2:8: error: name: \"a b\" is not a node's name; use letters, digits, - and _, at most "
        "63\n"
        "p.toml:3:9: error: the bus role is not in this node: [bus] needs url = \"HOST:4222\" of the "
        "node that has it\n"
        "p.toml:3:17: error: roles: unknown value \"buz\"; did you mean \"bus\"?\n"
        "p.toml:3:24: error: the role \"web\" is named twice\n"
        "p.toml:4:12: error: data_dir must be absolute: begin it with \"/\"\n"
        "p.toml:5:12: error: endpoint must be on loopback (127.0.0.1, [::1] or unix:/PATH): anyone "
        "who reaches it may read it\n"
        "p.toml:6:13: error: log_level: unknown value \"loud\"; write one of \"debug\", \"info\", "
        "\"warn\", \"error\"\n"
        "p.toml:7:2: error: unknown key \"wob\"; did you mean \"web\"?\n"
        "p.toml:8:1: error: missing key \"secret\" in [web]: What.\n"
        "p.toml:9:7: error: low is above high");
}

TEST_CASE("an_empty_profile_says_what_is_needed") {
    CHECK(report("") == "p.toml:1:1: error: missing key \"node\": The node itself.");
    CHECK(
        report("[node]\n") ==
        "p.toml:1:1: error: missing key \"roles\" in [node]: What this node is: the roles that it "
        "loads.");
    CHECK(report("[node]\nroles = []\n") ==
          "p.toml:2:9: error: roles is empty: a node has at least one");
}

TEST_CASE("a_role_without_its_section_still_needs_its_required_keys") {
    CHECK(
        report("[node]\nroles = [\"bus\", \"web\"]\n") ==
        "p.toml:2:9: error: the role \"web\" needs a section [web] with the key \"secret\": What.");
}

TEST_CASE("a_section_of_a_role_that_is_not_loaded_is_checked_for_keys_only") {
    CHECK(report("[node]\nroles = [\"bus\"]\n[web]\nsecret = \"s\"\nlow = 9\n") == "");
    CHECK(report("[node]\nroles = [\"bus\"]\n[web]\nsecrte = \"s\"\n") != "");
}

TEST_CASE("node_names_are_tokens_of_subjects") {
    CHECK(is_node_name("a-B_9"));
    CHECK_FALSE(is_node_name(""));
    CHECK_FALSE(is_node_name("a.b"));
    CHECK_FALSE(is_node_name("*"));
    CHECK_FALSE(is_node_name(std::string(64, 'a')));
}
