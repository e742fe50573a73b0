#include "build/recipe.h"

#include <catch2/catch_test_macros.hpp>

#include "temp_folder.h"

namespace candela::build {
namespace {

using Words = std::vector<std::string>;

struct Folder : test::TempFolder {
    service::BuildSpec spec;
    Recipe found() const {
        auto recipe = find_recipe(Project(path()), spec);
        if (!recipe) FAIL(recipe.error().message());
        REQUIRE(recipe->has_value());
        return **recipe;
    }
};

// A header as every ELF file begins, of an executable.
std::string elf() {
    std::string head(
        "\x7f"
        "ELF\x02\x01\x01",
        7);
    head.resize(16, '\0');
    head += std::string("\x03\x00\x3e\x00", 4);
    return head.append(64, '\0');
}

TEST_CASE_METHOD(Folder, "an_empty_folder_has_no_recipe") {
    const auto recipe = find_recipe(Project(path()), spec);
    REQUIRE(recipe);
    CHECK_FALSE(recipe->has_value());
}

TEST_CASE_METHOD(Folder, "node_installs_what_the_lock_file_says_builds_and_prunes") {
    write("package-lock.json", "{}");
    write("package.json",
          R"({"name": "@shop/My App", "scripts": {"build": "tsc", "start": "node dist/server.js"},
        "dependencies": {"express": "4"}, "devDependencies": {"typescript": "5"}})");
    const Recipe recipe = found();
    CHECK(recipe.name == "node");
    CHECK(recipe.defaults.name == "shop-my-app");
    CHECK(recipe.commands == Words{"npm ci --include=dev --no-audit --no-fund", "npm run build",
                                   "npm prune --omit=dev --no-audit --no-fund"});
    CHECK(recipe.defaults.command == Words{"node", "dist/server.js"});
    CHECK(recipe.made == Words{"node_modules"});
}

TEST_CASE_METHOD(Folder, "node_without_a_lock_file_installs") {
    write("package.json", R"({"dependencies": {"express": "4"}, "main": "app"})");
    write("app.js", "");
    const Recipe recipe = found();
    CHECK(recipe.commands == Words{"npm install --include=dev --no-audit --no-fund"});
    CHECK(recipe.defaults.command == Words{"node", "app.js"});
}

TEST_CASE_METHOD(Folder, "node_without_packages_and_scripts_has_nothing_to_do") {
    write("package.json", R"({"type": "module"})");
    write("node_modules/mine/index.js", "");
    const Recipe recipe = found();
    CHECK(recipe.commands.empty());
    CHECK(recipe.made.empty());
}

TEST_CASE_METHOD(Folder, "a_start_script_of_a_shell_finds_what_was_installed") {
    write("package.json", R"({"scripts": {"start": "NODE_ENV=x next start"}})");
    const Recipe recipe = found();
    REQUIRE(recipe.defaults.command.size() == 3);
    CHECK(recipe.defaults.command[2] ==
          "export PATH=\"$PWD/node_modules/.bin:$PATH\"; NODE_ENV=x next start");
}

TEST_CASE_METHOD(Folder, "a_site_of_vite_is_static") {
    write("package-lock.json", "{}");
    write(
        "package.json",
        R"({"scripts": {"build": "vite build", "start": "vite"}, "devDependencies": {"vite": "5"}})");
    const Recipe recipe = found();
    CHECK(recipe.defaults.kind == service::Kind::kStatic);
    CHECK(recipe.defaults.root == "dist");
    CHECK(recipe.output == Words{"dist"});
    // What was installed to build it is not deployed: there is nothing to prune.
    CHECK(recipe.commands.size() == 2);
}

TEST_CASE_METHOD(Folder, "vite_behind_a_server_of_its_own_is_no_static_site") {
    write(
        "package.json",
        R"({"scripts": {"build": "vite build", "start": "node server.js"}, "devDependencies": {"vite": "5"}})");
    const Recipe recipe = found();
    CHECK_FALSE(recipe.defaults.kind.has_value());
    CHECK(recipe.defaults.command == Words{"node", "server.js"});
}

TEST_CASE_METHOD(Folder, "a_package_json_that_is_none_is_left_to_npm") {
    write("package.json", "{");
    CHECK(found().commands == Words{"npm install --no-audit --no-fund"});
}

TEST_CASE_METHOD(Folder, "python_finds_its_framework") {
    write("requirements.txt", "Flask>=2\n");
    write("app.py", "from flask import Flask\napp = Flask(__name__)\n");
    CHECK(found().defaults.command[2] ==
          "exec python3 -m flask --app app run --host \"$HOST\" --port \"$PORT\"");
    CHECK(found().defaults.env.at("PYTHONPATH") == "python_modules");
    write("requirements.txt", "flask\ngunicorn==21\n");
    CHECK(found().defaults.command[2] == "exec python3 -m gunicorn --bind \"$HOST:$PORT\" app:app");
    write("app.py", "import fastapi\napp = FastAPI()\n");
    CHECK(found().defaults.command[2] ==
          "exec python3 -m uvicorn app:app --host \"$HOST\" --port \"$PORT\"");
}

TEST_CASE_METHOD(Folder, "python_without_a_network_takes_what_the_system_has") {
    write("requirements.txt", "flask\n");
    CHECK(found().commands.front().find("pip install") != std::string::npos);
    spec.has_network = false;
    CHECK(found().commands.front().find("pip install") == std::string::npos);
    CHECK(found().commands.front().ends_with(" requirements.txt"));
}

TEST_CASE_METHOD(Folder, "a_pyproject_for_tools_alone_is_no_project") {
    write("pyproject.toml", "[tool.ruff]\n");
    CHECK_FALSE(find_recipe(Project(path()), spec)->has_value());
    write("pyproject.toml", "[project]\nname = \"x\"\ndependencies = []\n");
    CHECK(found().manifest == "pyproject.toml");
}

TEST_CASE_METHOD(Folder, "a_procfile_has_the_last_word") {
    write("requirements.txt", "");
    write("app.py", "app = Flask(__name__)");
    write("Procfile", "worker: x\nweb: gunicorn -b :$PORT app:app\n");
    CHECK(found().defaults.command == Words{"/bin/sh", "-c", "gunicorn -b :$PORT app:app"});
}

TEST_CASE_METHOD(Folder, "java_without_maven_is_compiled_and_its_main_class_found") {
    write("src/main/java/shop/Tool.java", "package shop;\nclass Tool {}");
    write("src/main/java/shop/Main.java",
          "package shop;\npublic class Main { public static void main(String[] a) {} }");
    write("src/main/java/shop/Other.java",
          "package shop;\npublic class Other { public static void main(String[] a) {} }");
    const Recipe recipe = found();
    CHECK(recipe.name == "java");
    CHECK(recipe.defaults.command == Words{"java", "-cp", "classes", "shop.Main"});
}

TEST_CASE_METHOD(Folder, "maven_is_offline_where_the_network_is_shut") {
    write("pom.xml", "<project/>");
    const auto recipe = maven_recipe(Project(path()), spec);
    REQUIRE(recipe);
    CHECK(recipe->commands.front().find(" -o ") == std::string::npos);
    spec.has_network = false;
    CHECK(maven_recipe(Project(path()), spec)->commands.front().find(" -o ") != std::string::npos);
    CHECK(recipe->product == Product::kJar);
}

TEST_CASE_METHOD(Folder, "one_jar_is_what_starts") {
    write("pom.xml", "<project/>");
    write("target/app-1.jar", "x");
    write("target/app-1-sources.jar", "x");
    write("target/original-app-1.jar", "x");
    Recipe recipe;
    recipe.product = Product::kJar;
    CHECK(*find_command(recipe, Project(path()), {}, "app") ==
          Words{"java", "-jar", "target/app-1.jar"});
    write("target/other.jar", "x");
    CHECK(find_command(recipe, Project(path()), {}, "app").error().code() == Code::kInvalid);
}

TEST_CASE_METHOD(Folder, "php_needs_composer_only_for_packages") {
    write("public/index.php", "<?php");
    CHECK(found().commands.empty());
    CHECK(found().defaults.command[2] == "exec php -S \"$HOST:$PORT\" -t public");
    write("composer.json", R"({"name": "acme/shop", "require": {"php": ">=8", "ext-json": "*"}})");
    CHECK(found().commands.empty());
    CHECK(found().defaults.name == "shop");
    write("composer.json", R"({"require": {"monolog/monolog": "3"}})");
    CHECK(php_recipe(Project(path()))->commands.size() == 1);
}

TEST_CASE_METHOD(Folder, "what_cmake_has_built_is_what_starts") {
    write("CMakeLists.txt", "");
    const Recipe recipe = found();
    CHECK(recipe.name == "cmake");
    write("tools/old", elf(), 0755);
    write("build/shop", elf(), 0755);
    write("build/libshop.so", elf(), 0755);
    write("build/CMakeFiles/3/a.out", elf(), 0755);
    write("build/script", "#!/bin/sh", 0755);
    const Project built(path());
    CHECK(*find_command(recipe, built, {"tools/old"}, "x") == Words{"./build/shop"});
    CHECK(find_libraries(built, "build") == Words{"build/libshop.so"});
    // Of several the one that is called as the service is.
    write("build/test", elf(), 0755);
    CHECK(*find_command(recipe, built, {}, "shop") == Words{"./build/shop"});
    const auto several = find_command(recipe, built, {}, "x");
    REQUIRE_FALSE(several);
    CHECK(several.error().message().find("build/shop, build/test") != std::string::npos);
}

TEST_CASE_METHOD(Folder, "of_several_manifests_the_first_kind_counts_unless_service_toml_says_it") {
    write("package.json", R"({"scripts": {"build": "x"}})");
    write("Makefile", "all:\n");
    CHECK(found().name == "node");
    CHECK(found().note.find("Makefile is not looked at") != std::string::npos);
    spec.recipe = "make";
    CHECK(found().name == "make");
    CHECK(found().note.empty());
    spec.recipe = "maven";
    CHECK(find_recipe(Project(path()), spec).error().code() == Code::kInvalid);
}

TEST_CASE_METHOD(Folder, "commands_of_service_toml_stand_in_for_the_recipes") {
    spec.commands = {"./configure", "./build.sh"};
    spec.output = {"out"};
    spec.cache = {"obj"};
    const Recipe recipe = found();
    CHECK(recipe.commands == spec.commands);
    CHECK(recipe.output == Words{"out"});
    CHECK(recipe.cache == Words{"obj"});
    CHECK(recipe.tools.empty());
}

TEST_CASE("a_tool_that_is_missing_is_named_with_its_package") {
    Recipe recipe;
    recipe.manifest = "x.txt";
    recipe.tools = {{"sh", "dash"}, {"candela-no-such-tool", "some-package"}};
    const auto checked = check_tools(recipe);
    REQUIRE_FALSE(checked);
    CHECK(checked.error().code() == Code::kUnsupported);
    CHECK(checked.error().message().find("x.txt needs candela-no-such-tool") == 0);
    CHECK(checked.error().message().find("apt-get install some-package") != std::string::npos);
}

TEST_CASE("names_of_services_come_of_what_people_write") {
    CHECK(service_name_of("My App!") == "my-app");
    CHECK(service_name_of("@scope/thing_2") == "scope-thing-2");
    CHECK(service_name_of("3d") == "d");
    CHECK(service_name_of("123").empty());
    CHECK(service_name_of(std::string(100, 'a')).size() == 63);
}

TEST_CASE("a_text_is_quoted_for_a_shell") { CHECK(shell_quoted("it's") == "'it'\\''s'"); }

}  // namespace
}  // namespace candela::build
