#include "build/bundle_rules.h"

#include <catch2/catch_test_macros.hpp>

#include "service/ignore.h"
#include "temp_folder.h"

namespace candela::build {
namespace {

// Whether a file gets into the bundle, as the packer asks: its folders first.
bool is_kept(const std::string& rules, std::string_view path) {
    const auto parsed = service::IgnoreRules::parse(rules);
    REQUIRE(parsed);
    for (size_t at = path.find('/'); at != std::string_view::npos; at = path.find('/', at + 1)) {
        if (parsed->is_ignored(path.substr(0, at), true)) return false;
    }
    return !parsed->is_ignored(path, false);
}

TEST_CASE("only_what_is_named_is_kept") {
    const std::string rules = rules_that_keep("", {"dist", "conf/app.ini", "conf/deep/er/x", "a"});
    for (const char* path :
         {"dist/index.html", "dist/a/b", "conf/app.ini", "conf/deep/er/x", "a"}) {
        INFO(path);
        CHECK(is_kept(rules, path));
    }
    for (const char* path : {"src/x", "conf/other", "conf/deep/y", "b", "x/dist"}) {
        INFO(path);
        CHECK_FALSE(is_kept(rules, path));
    }
}

TEST_CASE("a_path_within_another_changes_nothing") {
    const std::string rules = rules_that_keep("", {"a/b", "a"});
    CHECK(is_kept(rules, "a/c"));
    CHECK(is_kept(rules, "a/b"));
}

TEST_CASE("names_are_not_patterns") {
    const std::string rules = rules_that_keep("", {"[x]*", "a b"});
    CHECK(is_kept(rules, "[x]*"));
    CHECK(is_kept(rules, "a b"));
    CHECK_FALSE(is_kept(rules, "xy"));
}

TEST_CASE("below_one_folder_only_programs_are_kept_and_all_else_outside") {
    const std::string rules = rules_that_keep("build", {"build/bin/shop", "build/libx.so"});
    CHECK(is_kept(rules, "build/bin/shop"));
    CHECK(is_kept(rules, "build/libx.so"));
    CHECK(is_kept(rules, "assets/logo.png"));
    CHECK_FALSE(is_kept(rules, "build/bin/shop.o"));
    CHECK_FALSE(is_kept(rules, "build/.ninja_log"));
    CHECK_FALSE(is_kept(rules_that_keep("build", {}), "build/x"));
}

TEST_CASE("the_projects_own_rules_have_the_last_word") {
    const test::TempFolder folder;
    folder.write("dist/x", "");
    Recipe recipe;
    recipe.output = {"dist"};
    const auto rules = bundle_rules(recipe, Project(folder.path()), "dist/*.map\n!/README.md\n");
    REQUIRE(rules);
    CHECK(is_kept(*rules, "dist/x"));
    CHECK_FALSE(is_kept(*rules, "dist/x.map"));
    CHECK(is_kept(*rules, "README.md"));
}

TEST_CASE("an_output_that_was_not_made_is_said") {
    const test::TempFolder folder;
    Recipe recipe;
    recipe.output = {"dist"};
    const auto rules = bundle_rules(recipe, Project(folder.path()), "");
    REQUIRE_FALSE(rules);
    CHECK(rules.error().message().starts_with("the build made no dist\n"));
}

}  // namespace
}  // namespace candela::build
