#include "flags.h"

#include <nlohmann/json.hpp>

#include "changes.h"
#include "planner_world.h"

namespace candela::lighthouse {
namespace {

const FlagKey kCheckout{"default", "checkout"};

Result<Flag> parse(std::string_view text) { return flag_from_json(parse_json(text).value()); }

// The flag's answer; "" where it is no text.
bool is_on(const Flag& flag, std::string_view name, std::string_view client) {
    return std::get<bool>(evaluate(flag, name, client).value);
}

TEST_CASE("flags_are_read_and_written_the_same") {
    for (
        const char* text :
        {R"({"kind":"bool","rules":[],"value":true})",
         R"({"description":"d","kind":"string","rules":[{"clients":["a","b"],"value":"x"}],"value":""})",
         R"({"kind":"percentage","percent":25,"rules":[{"clients":["a"],"value":false}]})",
         R"({"kind":"percentage","percent":0.01,"rules":[]})",
         R"({"kind":"percentage","percent":33.33,"rules":[]})"}) {
        INFO(text);
        const auto flag = parse(text);
        REQUIRE(flag);
        CHECK(to_json(*flag) == parse_json(text).value());
    }
}

TEST_CASE("what_is_wrong_with_a_flag_is_said") {
    struct Wrong {
        const char* text;
        const char* message;
    };
    const Wrong wrongs[] = {
        {R"([])", "a flag is a JSON object"},
        {R"({"value":true})", "\"kind\" must be bool, string or percentage"},
        {R"({"kind":"bool"})", "\"value\" must be true or false"},
        {R"({"kind":"bool","value":"on"})", "\"value\" must be true or false"},
        {R"({"kind":"string","value":true})", "\"value\" must be a string"},
        {R"({"kind":"bool","vaule":true,"value":true})", "no member \"vaule\""},
        {R"({"kind":"bool","value":true,"percent":1})", "no member \"percent\""},
        {R"({"kind":"percentage","percent":100.5})", "from 0 to 100"},
        {R"({"kind":"percentage","percent":-1})", "from 0 to 100"},
        {R"({"kind":"percentage","percent":1.005})", "two digits behind the point"},
        {R"({"kind":"percentage","percent":"5"})", "a number from 0 to 100"},
        {R"({"kind":"bool","value":true,"rules":{}})", "\"rules\" must be a list"},
        {R"({"kind":"bool","value":true,"rules":[{"value":true}]})", "rule 1: \"clients\" must be"},
        {R"({"kind":"bool","value":true,"rules":[{"clients":[],"value":true}]})", "rule 1"},
        {R"({"kind":"bool","value":true,"rules":[{"clients":[""],"value":true}]})",
         "1 to 256 bytes"},
        {R"({"kind":"bool","value":true,"rules":[{"clients":["a"],"value":"x"}]})", "rule 1"},
    };
    for (const Wrong& wrong : wrongs) {
        INFO(wrong.text);
        const auto flag = parse(wrong.text);
        REQUIRE_FALSE(flag);
        CHECK(flag.error().code() == Code::kInvalid);
        INFO(flag.error().message());
        CHECK(flag.error().message().find(wrong.message) != std::string::npos);
    }
}

TEST_CASE("flags_have_limits") {
    Json flag = {{"kind", "string"}, {"value", std::string(kFlagStringBytesMax, 'a')}};
    CHECK(flag_from_json(flag));
    flag["value"] = std::string(kFlagStringBytesMax + 1, 'a');
    CHECK_FALSE(flag_from_json(flag));
    flag = {{"kind", "bool"}, {"value", true}, {"rules", Json::array()}};
    const Json rule = {{"clients", {"a"}}, {"value", true}};
    for (size_t i = 0; i < kFlagRulesMax; ++i) flag["rules"].push_back(rule);
    CHECK(flag_from_json(flag));
    flag["rules"].push_back(rule);
    CHECK_FALSE(flag_from_json(flag));
    flag["rules"] = Json::array({rule});
    for (size_t i = 1; i < kFlagClientsMax; ++i) flag["rules"][0]["clients"].push_back("b");
    CHECK(flag_from_json(flag));
    flag["rules"][0]["clients"].push_back("b");
    CHECK_FALSE(flag_from_json(flag));
    flag["rules"][0]["clients"] = {std::string(kFlagClientBytesMax + 1, 'a')};
    CHECK_FALSE(flag_from_json(flag));
    flag["rules"] = Json::array();
    flag["description"] = std::string(kFlagDescriptionBytesMax + 1, 'a');
    CHECK_FALSE(flag_from_json(flag));
    flag.erase("description");
    const std::string client(kFlagClientBytesMax, 'a');
    Json clients = Json::array();
    for (size_t i = 0; i * kFlagClientBytesMax < kFlagBytesMax; ++i) clients.push_back(client);
    flag["rules"] = Json::array({{{"clients", clients}, {"value", true}}});
    CHECK_FALSE(flag_from_json(flag));
}

TEST_CASE("the_first_rule_that_names_a_client_counts") {
    const Flag flag = parse(R"({"kind":"string","value":"rest","rules":[
        {"clients":["a","b"],"value":"one"},{"clients":["b","c"],"value":"two"}]})")
                          .value();
    const auto said = [&](std::string_view client) {
        return std::get<std::string>(evaluate(flag, "x", client).value);
    };
    CHECK(said("a") == "one");
    CHECK(said("b") == "one");
    CHECK(said("c") == "two");
    CHECK(said("d") == "rest");
}

TEST_CASE("a_percentage_is_for_the_same_clients_when_it_grows") {
    Flag flag = parse(R"({"kind":"percentage","percent":0})").value();
    // printf %s checkout:alice | sha256sum
    CHECK(client_number("checkout", "alice") == 0x1042201c);
    constexpr int kClients = 20'000;
    std::vector<bool> before(kClients, false);
    for (const uint32_t hundredths : {0U, 1U, 1000U, 2500U, 5000U, 9999U, 10'000U}) {
        flag.percent_hundredths = hundredths;
        int count = 0;
        for (int i = 0; i < kClients; ++i) {
            const bool on = is_on(flag, "checkout", fmt::format("user-{}", i));
            CHECK((on || !before[static_cast<size_t>(i)]));
            before[static_cast<size_t>(i)] = on;
            if (on) ++count;
        }
        const double share = static_cast<double>(count) / kClients;
        CHECK(std::abs(share - hundredths / 10'000.0) < 0.01);
        if (hundredths == 0) CHECK(count == 0);
        if (hundredths == 10'000) CHECK(count == kClients);
    }
    CHECK(numbers_below(10'000) == uint64_t{1} << 32);
    CHECK(numbers_below(2500) == uint64_t{1} << 30);
    CHECK(numbers_below(1) == 429'497);
}

TEST_CASE("names_of_flags_are_keys_of_a_bucket") {
    for (const char* good : {"a", "new-checkout", "shop.checkout.v2", "A_1"})
        CHECK(is_flag_name(good));
    for (const char* bad : {"", "1a", "a.", ".a", "a..b", "a b", "a*", "a>", "ä", "a/b", "$a"})
        CHECK_FALSE(is_flag_name(bad));
    CHECK(is_flag_name(std::string(kFlagNameMax, 'a')));
    CHECK_FALSE(is_flag_name(std::string(kFlagNameMax + 1, 'a')));
}

TEST_CASE_METHOD(World, "versions_of_a_flag_are_kept_to_a_number_and_deleted_together") {
    Flag flag = parse(R"({"kind":"string","value":""})").value();
    for (size_t i = 1; i <= kFlagVersionsMax + 5; ++i) {
        flag.value = std::to_string(i);
        apply(change_flag(wanted, kCheckout, flag, "ada", WallTime()).value(), wanted, seen);
        REQUIRE(wanted.flags.at(kCheckout).rbegin()->first == i);
    }
    const FlagVersions& versions = wanted.flags.at(kCheckout);
    CHECK(versions.size() == kFlagVersionsMax);
    CHECK(versions.begin()->first == 6);
    CHECK(std::get<std::string>(versions.begin()->second.flag.value) == "6");
    const auto documents = documents_of(wanted.flags, "default");
    REQUIRE(documents.size() == 1);
    CHECK(parse_json(documents.at("checkout")).value()["value"] == "25");
    CHECK(parse_json(documents.at("checkout")).value()["version"] == 25);
    CHECK(documents_of(wanted.flags, "other").empty());
    apply(remove_flag(wanted, kCheckout, "ada").value(), wanted, seen);
    CHECK(wanted.flags.empty());
    CHECK(remove_flag(wanted, kCheckout, "ada").error().code() == Code::kNotFound);
}

TEST_CASE_METHOD(World, "a_space_has_so_many_flags_and_no_more_than_so_many_bytes_of_them") {
    const Flag small = parse(R"({"kind":"bool","value":true})").value();
    for (size_t i = 0; i < kFlagsOfSpaceMax; ++i) {
        const FlagKey key("default", fmt::format("f{}", i));
        apply(change_flag(wanted, key, small, "ada", WallTime()).value(), wanted, seen);
    }
    CHECK(change_flag(wanted, kCheckout, small, "ada", WallTime()).error().code() ==
          Code::kExhausted);
    CHECK(change_flag(wanted, FlagKey("default", "f0"), small, "ada", WallTime()));
    CHECK(change_flag(wanted, FlagKey("other", "f0"), small, "ada", WallTime()));
    Flag large = parse(R"({"kind":"string","value":""})").value();
    large.value = std::string(kFlagStringBytesMax, 'a');
    Result<Change> last = Change();
    for (size_t i = 0; last && i <= kFlagsOfSpaceBytesMax / kFlagStringBytesMax; ++i) {
        last =
            change_flag(wanted, FlagKey("other", fmt::format("f{}", i)), large, "ada", WallTime());
        if (last) apply(*last, wanted, seen);
    }
    REQUIRE_FALSE(last);
    CHECK(last.error().code() == Code::kExhausted);
}

}  // namespace
}  // namespace candela::lighthouse
