#pragma once

// A recipe says how the sources of an application become what runs: commands in a copy of the
// folder, and what is known afterwards of the service. Found by the files that are there; each part
// may be overridden by [build] of service.toml. Values; finding one blocks for moments.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "build/project.h"
#include "service/build_spec.h"

namespace candela::build {

struct Tool {
    std::string name;     // "npm"
    std::string package;  // Debian's, or what to install: "nodejs npm"
};

// What is looked for in the copy once the commands have run, to start it by.
enum class Product : uint8_t {
    kNone,      // the command is known beforehand
    kPrograms,  // executables that were not there before
    kJar,       // target/*.jar
};

struct Recipe {
    std::string name;      // of kRecipeNames; "" where service.toml says all
    std::string language;  // "Node.js", for messages
    std::string manifest;  // "package.json": by what it was found
    std::vector<std::string> commands;
    std::vector<Tool> tools;
    std::vector<std::string> made;      // folders that commands make anew: not taken as sources
    std::vector<std::string> left_out;  // lines as of .candelaignore
    std::vector<std::string> output;    // empty: all but what is left out
    std::vector<std::string> cache;     // folders that are kept for the next build
    service::ManifestDefaults defaults;
    Product product = Product::kNone;
    // Below it nothing is bundled but programs and libraries; "": anything is.
    std::string programs_folder;
    std::string note;  // what a person should know
};

// Absent where nothing is recognised, or where there is nothing to do and to be known. kInvalid
// where `spec.recipe` names one that does not fit.
Result<std::optional<Recipe>> find_recipe(const Project& project, const service::BuildSpec& spec);

// kUnsupported names the tool that this machine lacks, and how it gets it.
Result<> check_tools(const Recipe& recipe);

// By what the copy has now: the command that starts it. `before`: the executables that were there.
// kInvalid, with what to write, where it can't be told.
Result<std::vector<std::string>> find_command(const Recipe& recipe, const Project& built,
                                              const std::vector<std::string>& before,
                                              std::string_view service_name);

// Executables and shared libraries in ELF form, sorted, relative; those of CMake's own trials not.
std::vector<std::string> find_programs(const Project& project, std::string_view folder);
std::vector<std::string> find_libraries(const Project& project, std::string_view folder);

// One of each; absent where the project is not of its kind.
std::optional<Recipe> node_recipe(const Project& project);
std::optional<Recipe> python_recipe(const Project& project, const service::BuildSpec& spec);
std::optional<Recipe> maven_recipe(const Project& project, const service::BuildSpec& spec);
std::optional<Recipe> java_recipe(const Project& project);
std::optional<Recipe> php_recipe(const Project& project);
std::optional<Recipe> cmake_recipe(const Project& project);
std::optional<Recipe> meson_recipe(const Project& project);
std::optional<Recipe> make_recipe(const Project& project);

// The line of a Procfile that starts the web process; "" where there is none.
std::string procfile_web(const Project& project);
// A command that a shell runs in the bundle's folder, so that $PORT has its value.
std::vector<std::string> shell_command(std::string_view line);

// A name for the service from what a person wrote: "My App" → "my-app"; "" where nothing is left.
std::string service_name_of(std::string_view text);

}  // namespace candela::build
