#include "base/config.h"

#include <catch2/catch_test_macros.hpp>

using namespace candela;

namespace {

const ConfigSchema& example_schema() {
    static const ConfigSchema schema({
        config_string("name", "", "The name.").required(),
        config_table(
            "gateway",
            ConfigSchema({
                config_address("listen", "127.0.0.1:8080", "Where HTTP is served."),
                config_int("port", "80", "A number.").range("0", "65535"),
                config_duration("hold_timeout", "30s", "How long.").range("1s", "10m"),
                config_size("body_max", "1MiB", "How large."),
                config_bool("proxy", "true", "Whether."),
                config_float("ratio", "0.5", "How much.").range("0", "1"),
                config_string("engine", "builtin", "Who.").one_of({"builtin", "nats"}),
                config_strings("command", {"a", "b"}, "What.").at_most(3),
                config_addresses("upstreams", {}, "Where."),
                config_string_map("env", "Environment."),
                config_table("tls", ConfigSchema({config_string("cert", "", "File.").required()}),
                             "Certificates."),
                config_tables("route",
                              ConfigSchema({config_string("path", "/", "Prefix."),
                                            config_string("to", "", "Service.").required()}),
                              "Routes."),
            }),
            "The gateway."),
    });
    return schema;
}

struct Read {
    explicit Read(std::string_view text)
        : problems("f.toml"), config(read_config(text, example_schema(), problems)) {}
    ConfigProblems problems;
    Config config;
    std::string report() const { return problems.format(); }
};

}  // namespace

TEST_CASE("absent_keys_read_as_defaults") {
    const Read read("name = \"x\"\n");
    REQUIRE(read.report() == "");
    const Config& gateway = read.config.table("gateway");
    CHECK(gateway.string("listen") == "127.0.0.1:8080");
    CHECK(gateway.integer("port") == 80);
    CHECK(gateway.duration("hold_timeout") == 30s);
    CHECK(gateway.size_bytes("body_max") == 1u << 20);
    CHECK(gateway.boolean("proxy"));
    CHECK(gateway.number("ratio") == 0.5);
    CHECK(gateway.strings("command") == std::vector<std::string>{"a", "b"});
    CHECK(gateway.strings("upstreams").empty());
    CHECK(gateway.tables("route").empty());
    CHECK_FALSE(read.config.is_written("gateway"));
    CHECK_FALSE(gateway.is_written("port"));
    CHECK(gateway.has_value("port"));
    CHECK_FALSE(gateway.has_value("upstreams"));
}

TEST_CASE("written_values_are_read_with_their_positions") {
    const Read read(
        "name = \"x\"\n"
        "[gateway]\n"
        "listen = \"[::1]:9\"\n"
        "hold_timeout = \"1m30s\"\n"
        "body_max = 512\n"
        "proxy = false\n"
        "ratio = 1\n"
        "engine = \"nats\"\n"
        "command = [\n"
        "  \"node\",  # a comment\n"
        "  \"server.js\",\n"
        "]\n"
        "env = { B = \"2\", A = \"1\" }\n"
        "[gateway.tls]\n"
        "cert = 'c:\\x'\n"
        "[[gateway.route]]\n"
        "to = \"one\"\n"
        "[[gateway.route]]\n"
        "to = \"two\"\n"
        "path = \"/p\"\n");
    REQUIRE(read.report() == "");
    const Config& gateway = read.config.table("gateway");
    CHECK(gateway.string("listen") == "[::1]:9");
    CHECK(gateway.position("listen").line == 3);
    CHECK(gateway.position("listen").column == 10);
    CHECK(gateway.duration("hold_timeout") == 90s);
    CHECK(gateway.size_bytes("body_max") == 512);
    CHECK_FALSE(gateway.boolean("proxy"));
    CHECK(gateway.number("ratio") == 1.0);
    CHECK(gateway.string("engine") == "nats");
    CHECK(gateway.strings("command") == std::vector<std::string>{"node", "server.js"});
    CHECK(gateway.items("command")[1].at.line == 11);
    REQUIRE(gateway.items("env").size() == 2);
    CHECK(gateway.items("env")[0].name == "B");  // in the order of the file
    CHECK(gateway.items("env")[1].value == "1");
    CHECK(gateway.items("env")[1].at.column == 18);
    CHECK(gateway.table("tls").string("cert") == "c:\\x");
    REQUIRE(gateway.tables("route").size() == 2);
    CHECK(gateway.tables("route")[1].string("path") == "/p");
    CHECK(gateway.tables("route")[0].string("path") == "/");
    CHECK(gateway.tables("route")[1].position().line == 18);
}

TEST_CASE("unknown_keys_are_named_with_the_nearest_valid_one") {
    const Read read("name = \"x\"\n[gateway]\n  prot = 8080\n");
    CHECK(read.report() ==
          "f.toml:3:3: error: unknown key \"prot\" in [gateway]; did you mean \"port\"?");
}

TEST_CASE("unknown_tables_are_named_where_their_header_stands") {
    const Read read("name = \"x\"\n[gatway]\nport = 1\n[gateway.tsl]\ncert = \"x\"\n");
    CHECK(read.report() ==
          "f.toml:2:2: error: unknown key \"gatway\"; did you mean \"gateway\"?\n"
          "f.toml:4:10: error: unknown key \"tsl\" in [gateway]; did you mean \"tls\"?");
}

TEST_CASE("an_unknown_key_near_nothing_lists_what_there_is") {
    const Read read("name = \"x\"\nzzzzzzzz = 1\n");
    CHECK(read.report() == "f.toml:2:1: error: unknown key \"zzzzzzzz\"; known are name, gateway");
}

TEST_CASE("unknown_values_get_the_nearest_valid_one") {
    const Read read("name = \"x\"\n[gateway]\nengine = \"natz\"\n");
    CHECK(read.report() ==
          "f.toml:3:10: error: engine: unknown value \"natz\"; did you mean \"nats\"?");
}

TEST_CASE("every_mistake_is_reported_in_the_order_of_lines") {
    const Read read(
        "[gateway]\n"
        "listen = \"here\"\n"
        "port = 70000\n"
        "hold_timeout = 5\n"
        "body_max = \"big\"\n"
        "proxy = \"yes\"\n"
        "ratio = 1.5\n"
        "command = \"node server.js\"\n"
        "upstreams = [\"a:1\", \"b\", 3]\n"
        "env = { A = 1 }\n"
        "tls = true\n"
        "route = [1]\n");
    CHECK(
        read.report() ==
        "f.toml:1:1: error: missing key \"name\": The name.\n"
        "f.toml:2:10: error: listen: \"here\" is not an address; write HOST:PORT or unix:/PATH\n"
        "f.toml:3:8: error: port: must be from 0 to 65535\n"
        "f.toml:4:16: error: \"hold_timeout\" must be a duration in quotes, such as \"1m30s\", not "
        "a whole number\n"
        "f.toml:5:12: error: body_max: \"big\" is not a size; write for example \"512KiB\", "
        "\"64MiB\" or \"2GB\"\n"
        "f.toml:6:9: error: \"proxy\" must be true or false, not text\n"
        "f.toml:7:9: error: ratio: must be from 0 to 1\n"
        "f.toml:8:11: error: \"command\" must be a list of texts: [\"a\", \"b\"]\n"
        "f.toml:9:21: error: upstreams: \"b\" is not an address; write HOST:PORT or unix:/PATH\n"
        "f.toml:9:26: error: \"upstreams\" holds texts: put this in quotes\n"
        "f.toml:10:13: error: \"A\" must be text: put it in quotes\n"
        "f.toml:11:7: error: \"tls\" must be a table: write [gateway.tls] and its keys below\n"
        "f.toml:12:9: error: \"route\" must be a list of tables: write [[gateway.route]], once for "
        "each");
    // What is wrong reads as its default.
    CHECK(read.config.table("gateway").integer("port") == 80);
    CHECK(read.config.table("gateway").string("listen") == "127.0.0.1:8080");
}

TEST_CASE("required_keys_are_asked_for_in_every_table_that_is_written") {
    const Read read(
        "name = \"x\"\n[[gateway.route]]\n[[gateway.route]]\nto = \"a\"\n[gateway.tls]\n");
    CHECK(read.report() ==
          "f.toml:2:1: error: missing key \"to\" in [gateway.route]: Service.\n"
          "f.toml:5:1: error: missing key \"cert\" in [gateway.tls]: File.");
}

TEST_CASE("lists_are_bounded") {
    const Read read("name = \"x\"\n[gateway]\ncommand = [\"1\", \"2\", \"3\", \"4\"]\n");
    CHECK(read.report() == "f.toml:3:11: error: \"command\" has 4 entries; 3 are the most");
}

TEST_CASE("problems_beyond_the_limit_are_counted") {
    std::string text = "name = \"x\"\n";
    for (int i = 0; i < 130; ++i) text += fmt::format("k{} = 1\n", i);
    const Read read(text);
    CHECK(read.problems.list().size() == ConfigProblems::kProblemsMax);
    CHECK(read.problems.size() == 130);
    CHECK(read.report().ends_with("f.toml: and 30 more errors"));
    CHECK(read.problems.as_error().code() == Code::kInvalid);
}

TEST_CASE("set_checks_as_the_file_would") {
    Config config(example_schema());
    Config& gateway = config.mutable_table("gateway");
    REQUIRE(gateway.set("listen", "127.0.0.1:9"));
    CHECK(gateway.string("listen") == "127.0.0.1:9");
    CHECK(gateway.is_written("listen"));
    CHECK_FALSE(gateway.set("listen", "x"));
    CHECK_FALSE(gateway.set("port", "-1"));
    CHECK(gateway.string("listen") == "127.0.0.1:9");
}

TEST_CASE("a_problem_without_a_place_names_the_file_only") {
    ConfigProblems problems("f.toml");
    problems.add(ConfigPosition(), "no such file");
    CHECK(problems.format() == "f.toml: error: no such file");
}
