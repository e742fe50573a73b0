#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "service/manifest.h"

namespace candela::service {
namespace {

constexpr const char* kHead = "name = \"shop\"\ncommand = [\"./shop\"]\n";

std::string mistakes_of(const std::string& rest) {
    const auto parsed = parse_manifest(kHead + rest);
    return parsed ? "" : parsed.error().message();
}

TEST_CASE("secrets_and_config_are_variables_or_files") {
    const auto manifest = parse_manifest(std::string(kHead) + R"(
[[secret]]
name = "DATABASE_URL"
[[secret]]
name = "tls"
file = "tls.key"
mode = "0440"
on_change = "signal"
signal = "SIGUSR1"
[[config]]
name = "limits"
file = "limits.json"
on_change = "nothing"
)");
    REQUIRE(manifest);
    REQUIRE(manifest->values.size() == 3);
    const ValueUse& url = manifest->values[0];
    CHECK(url.kind == ValueKind::kSecret);
    CHECK(url.env == "DATABASE_URL");
    CHECK(url.file.empty());
    CHECK(url.on_change == OnChange::kRestart);
    CHECK(manifest->values[1].mode == 0440);
    CHECK(manifest->values[1].signal == "SIGUSR1");
    CHECK(manifest->values[2].kind == ValueKind::kConfig);
    CHECK(manifest->values[2].on_change == OnChange::kNothing);
    CHECK(manifest_from_json(to_json(*manifest)) == *manifest);
}

TEST_CASE("each_mistake_in_a_secret_is_named_with_its_place") {
    CHECK(mistakes_of("[[secret]]\nfile = \"a\"\n").find("\"name\" is missing") !=
          std::string::npos);
    CHECK(mistakes_of("[[secret]]\nname = \"a-b\"\n") ==
          "service.toml:3:1: error: \"a-b\" is not a variable's name; write env or file");
    CHECK(mistakes_of("[[secret]]\nname = \"a\"\nfile = \"../a\"\n").find("no folders") !=
          std::string::npos);
    CHECK(mistakes_of("[[secret]]\nname = \"a\"\nenv = \"A\"\nfile = \"a\"\n")
              .find("a variable or a file, not both") != std::string::npos);
    CHECK(mistakes_of("[[config]]\nname = \"a\"\nenv = \"PORT\"\n").find("set by candela") !=
          std::string::npos);
    CHECK(mistakes_of("[[config]]\nname = \"a\"\nenv = \"A\"\non_change = \"signal\"\n")
              .find("can't change in a program that runs") != std::string::npos);
    CHECK(mistakes_of("[[config]]\nname = \"a\"\nfile = \"a\"\nsignal = \"SIGKILL\"\n")
              .find("\"SIGKILL\" is not one of") != std::string::npos);
    for (const std::string mode : {"0600", "0402", "9", "", "04000"}) {
        INFO(mode);
        CHECK(mistakes_of("[[secret]]\nname = \"a\"\nfile = \"a\"\nmode = \"" + mode + "\"\n")
                  .find("is not a mode of such a file") != std::string::npos);
    }
    CHECK(mistakes_of("[env]\nA = \"1\"\n[[secret]]\nname = \"a\"\nenv = \"A\"\n")
              .find("the variable A is set already") != std::string::npos);
    CHECK(mistakes_of("[[secret]]\nname = \"a\"\nfile = \"x\"\n[[config]]\nname = \"b\"\nfile = "
                      "\"x\"\n")
              .find("the file x is there already") != std::string::npos);
}

TEST_CASE("a_service_uses_a_bounded_number_of_values") {
    std::string all;
    for (size_t i = 0; i <= kValueUsesMax; ++i) {
        all += "[[secret]]\nname = \"a\"\nenv = \"A" + std::to_string(i) + "\"\n";
    }
    CHECK(mistakes_of(all).find("at most 64 are allowed") != std::string::npos);
    CHECK(is_value_name(std::string(kValueNameMax, 'a')));
    CHECK_FALSE(is_value_name(std::string(kValueNameMax + 1, 'a')));
}

TEST_CASE("a_static_service_takes_no_values") {
    const auto parsed = parse_manifest(
        "name = \"site\"\nkind = \"static\"\n[[config]]\nname = \"a\"\nfile = \"a\"\n");
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().message().find("no program that could take it") != std::string::npos);
}

}  // namespace
}  // namespace candela::service
