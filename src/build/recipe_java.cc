// Java: Maven by pom.xml, and the compiler alone for sources without one.

#include <algorithm>

#include "base/text.h"
#include "build/recipe.h"

namespace candela::build {

namespace {

constexpr std::string_view kClasses = "classes";

// "package a.b;" → "a.b."
std::string package_of(std::string_view text) {
    for (std::string_view line : split(text, '\n')) {
        line = trim(line);
        if (!line.starts_with("package ")) continue;
        line.remove_prefix(std::string_view("package ").size());
        if (const auto parts = split_once(line, ';')) return std::string(trim(parts->first)) + ".";
    }
    return "";
}

// The class that a file with a main method is about; "" where it has none.
std::string main_class(const Project& project, const std::string& file) {
    const std::string text = project.text(file);
    if (text.find("public static void main") == std::string::npos &&
        text.find("static public void main") == std::string::npos) {
        return "";
    }
    return package_of(text) + std::filesystem::path(file).stem().native();
}

// Of several the one that has a usual name.
std::string find_main(const Project& project, const std::vector<std::string>& files) {
    std::vector<std::string> found;
    for (const std::string& file : files) {
        if (std::string name = main_class(project, file); !name.empty()) {
            found.push_back(std::move(name));
        }
    }
    if (found.size() == 1) return found.front();
    for (const std::string_view usual : {"Main", "App", "Application", "Server"}) {
        for (const std::string& name : found) {
            if (name == usual || name.ends_with(fmt::format(".{}", usual))) return name;
        }
    }
    return "";
}

}  // namespace

std::optional<Recipe> maven_recipe(const Project& project, const service::BuildSpec& spec) {
    if (!project.has("pom.xml")) return std::nullopt;
    Recipe recipe;
    recipe.name = "maven";
    recipe.language = "Java";
    recipe.manifest = "pom.xml";
    const bool has_wrapper = project.has("mvnw");
    recipe.commands = {
        fmt::format("{} -B -ntp{} -DskipTests "
                    "-Dproject.build.outputTimestamp=1980-01-01T00:00:02Z package",
                    has_wrapper ? "sh ./mvnw" : "mvn", spec.has_network ? "" : " -o")};
    recipe.tools = {{"javac", "default-jdk-headless"}};
    if (!has_wrapper) recipe.tools.push_back({"mvn", "maven"});
    recipe.product = Product::kJar;
    recipe.made = {"target"};
    recipe.left_out = {"/target/*",
                       "!/target/*.jar",
                       "/target/original-*.jar",
                       "/target/*-sources.jar",
                       "/target/*-javadoc.jar",
                       "!/target/quarkus-app",
                       "!/target/lib",
                       "!/target/dependency"};
    return recipe;
}

std::optional<Recipe> java_recipe(const Project& project) {
    std::string sources;
    for (const std::string_view folder : {"src/main/java", "src", "."}) {
        if (!project.has_folder(folder) || project.files(folder, ".java").empty()) continue;
        sources = folder;
        break;
    }
    if (sources.empty()) return std::nullopt;
    const auto files = project.files(sources, ".java");
    const bool is_other =
        project.has("build.gradle") || project.has("build.gradle.kts") || project.has("build.xml");
    if (is_other) return std::nullopt;
    Recipe recipe;
    recipe.name = "java";
    recipe.language = "Java";
    recipe.manifest = files.front();
    const bool has_libraries = project.has_folder("lib");
    recipe.commands = {
        fmt::format("find {} -name '*.java' ! -name '* *' | LC_ALL=C sort > .candela-sources && "
                    "javac -encoding UTF-8 -d {}{} @.candela-sources",
                    shell_quoted(sources), kClasses, has_libraries ? " -cp 'lib/*'" : "")};
    if (project.has_folder("src/main/resources")) {
        recipe.commands.push_back(fmt::format("cp -R src/main/resources/. {}/", kClasses));
    }
    recipe.tools = {{"javac", "default-jdk-headless"}};
    recipe.made = {std::string(kClasses)};
    recipe.left_out = {"*.java", "/.candela-sources"};
    if (const std::string line = procfile_web(project); !line.empty()) {
        recipe.defaults.command = shell_command(line);
    } else if (const std::string main = find_main(project, files); !main.empty()) {
        recipe.defaults.command = {
            "java", "-cp",
            has_libraries ? fmt::format("{}:lib/*", kClasses) : std::string(kClasses), main};
    }
    return recipe;
}

}  // namespace candela::build
