#include "ctl/target.h"

#include <unistd.h>

#include <map>

#include <catch2/catch_test_macros.hpp>

#include "loop/file.h"

using namespace candela;
using namespace candela::ctl;

namespace {

class Places {
public:
    Places() {
        char name[] = "/tmp/candela-target-XXXXXX";
        folder = mkdtemp(name);
        places.environment = [this](const char* variable) { return environment[variable]; };
        places.context_file = folder / "context.toml";
        places.dev_state_file = folder / "dev.json";
        places.sockets = {folder / "packaged.sock"};
    }
    ~Places() { std::filesystem::remove_all(folder); }
    void write(const char* name, std::string_view text) {
        REQUIRE(write_file(folder / name, text));
    }
    Result<Target> find(TargetOptions options = {}) { return find_target(options, places); }

    std::filesystem::path folder;
    std::map<std::string, std::string> environment;
    TargetPlaces places;
};

}  // namespace

TEST_CASE("addresses_of_a_lighthouse_are_read") {
    CHECK(parse_target_address("unix:/a/b")->first == Address::unix_socket("/a/b"));
    CHECK(parse_target_address("https://h:1")->first == Address::tcp("h", 1));
    CHECK(parse_target_address("https://h/")->first == Address::tcp("h", 7400));
    CHECK(parse_target_address("https://[::1]")->first == Address::tcp("::1", 7400));
    CHECK(parse_target_address("https://[::1]:9")->first == Address::tcp("::1", 9));
    CHECK(parse_target_address("https://h")->second);
    for (const char* wrong :
         {"", "h:1", "http://h:1", "https://", "https://h:99999", "unix:", "https://u@:x"}) {
        INFO(wrong);
        CHECK_FALSE(parse_target_address(wrong));
    }
}

TEST_CASE("without_anything_there_is_no_lighthouse") {
    Places places;
    const auto found = places.find();
    REQUIRE_FALSE(found);
    CHECK(found.error().code() == Code::kUnreachable);
    CHECK(found.error().message().find("candela dev") != std::string::npos);
}

TEST_CASE("places_are_looked_at_in_order") {
    Places places;
    places.write("packaged.sock", "");
    CHECK(places.find()->address.host == (places.folder / "packaged.sock").string());
    places.write("dev.json",
                 fmt::format("{{\"pid\": {}, \"address\": \"unix:/dev.sock\"}}", getpid()));
    CHECK(places.find()->address.host == "/dev.sock");
    places.write("context.toml", "address = \"unix:/context.sock\"\nspace = \"red\"\n");
    CHECK(places.find()->address.host == "/context.sock");
    CHECK(places.find()->space == "red");
    places.environment["CANDELA_ADDRESS"] = "unix:/environment.sock";
    CHECK(places.find()->address.host == "/environment.sock");
    TargetOptions options;
    options.address = "unix:/flag.sock";
    options.space = "blue";
    CHECK(places.find(options)->address.host == "/flag.sock");
    CHECK(places.find(options)->space == "blue");
}

TEST_CASE("a_dev_node_that_has_ended_is_passed_over") {
    Places places;
    places.write("dev.json", "{\"pid\": 999999999, \"address\": \"unix:/dev.sock\"}");
    CHECK_FALSE(places.find());
    places.write("dev.json", "{\"pid\": ");
    CHECK_FALSE(places.find());
}

TEST_CASE("the_space_is_default_where_nothing_says_otherwise") {
    Places places;
    places.environment["CANDELA_ADDRESS"] = "unix:/a";
    CHECK(places.find()->space == "default");
    places.environment["CANDELA_SPACE"] = "red";
    CHECK(places.find()->space == "red");
}

TEST_CASE("https_needs_a_credential") {
    Places places;
    places.environment["CANDELA_ADDRESS"] = "https://h";
    REQUIRE_FALSE(places.find());
    CHECK(places.find().error().code() == Code::kDenied);
    places.environment["CANDELA_CREDS"] = "/c";
    CHECK(places.find()->creds_file == "/c");
}

TEST_CASE("mistakes_in_the_context_file_are_shown_with_their_place") {
    Places places;
    places.write("context.toml", "adress = \"unix:/a\"\n");
    const auto found = places.find();
    REQUIRE_FALSE(found);
    CHECK(found.error().message().find("context.toml:1:1: error: unknown key \"adress\"") !=
          std::string::npos);
}
