#include "ctl/verb.h"

#include <set>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "ctl/api_model.h"
#include "ctl/global_options.h"

using namespace candela;
using namespace candela::ctl;

TEST_CASE("numbers_and_durations_are_checked_with_the_options_name") {
    Arguments arguments;
    CHECK(*arguments.number("N", 7, 0, 10) == 7);
    arguments.set("N", "11");
    CHECK(arguments.number("N", 7, 0, 10).error().message() ==
          "N takes a number from 0 to 10, not \"11\"");
    arguments.set("N", "many");
    CHECK(arguments.number("N", 7, 0, 10).error().code() == Code::kInvalid);
    arguments.set("--timeout", "5");
    CHECK_FALSE(arguments.duration("--timeout", 1s));
    arguments.set("--timeout", "2m");
    CHECK(*arguments.duration("--timeout", 1s) == 120s);
}

TEST_CASE("every_error_code_has_its_exit_code") {
    CHECK(exit_code_of(Error(Code::kInvalid, "")) == 2);
    CHECK(exit_code_of(Error(Code::kNotFound, "")) == 3);
    CHECK(exit_code_of(Error(Code::kDenied, "")) == 4);
    CHECK(exit_code_of(Error(Code::kConflict, "")) == 5);
    CHECK(exit_code_of(Error(Code::kUnreachable, "")) == 6);
    CHECK(exit_code_of(Error(Code::kInternal, "")) == 1);
}

TEST_CASE("no_two_verbs_share_a_name_and_no_option_clashes") {
    std::set<std::string> names;
    for (const Verb& verb : verb_table()) {
        CHECK(names.insert(fmt::format("{} {}", verb.group, verb.name)).second);
        CHECK_FALSE(verb.summary.empty());
        std::set<std::string_view> options;
        for (const VerbOption& option : global_options()) {
            options.insert(option.name);
            if (!option.short_name.empty()) options.insert(option.short_name);
        }
        for (const VerbOption& option : verb.options) {
            INFO(verb.name);
            CHECK(options.insert(option.name).second);
            if (!option.short_name.empty()) CHECK(options.insert(option.short_name).second);
        }
    }
}

TEST_CASE("answers_of_an_unknown_shape_read_as_empty") {
    CHECK(list_of(Json("text"), "nodes").empty());
    CHECK(list_of(Json::object(), "nodes").empty());
    CHECK(list_of(Json::array({1}), "nodes").size() == 1);
    CHECK(node_view(Json(3)).name.empty());
    CHECK(release_view(Json::object()).number == 0);
    const Json odd = {{"routes", "x"}, {"instances", -1}};
    CHECK(service_view(odd).wanted == 0);
}
