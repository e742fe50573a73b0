// C++ and whatever else CMake, Meson and make build: programs of this machine's own kind.

#include <algorithm>

#include "base/text.h"
#include "build/recipe.h"

namespace candela::build {

namespace {

constexpr std::string_view kBuild = "build";

Recipe native_recipe(std::string_view name, std::string_view manifest) {
    Recipe recipe;
    recipe.name = name;
    recipe.language = "C++";
    recipe.manifest = manifest;
    recipe.product = Product::kPrograms;
    recipe.left_out = {"*.o",   "*.a", "*.d", "*.cc", "*.cpp",
                       "*.cxx", "*.c", "*.h", "*.hh", "*.hpp"};
    return recipe;
}

}  // namespace

std::optional<Recipe> cmake_recipe(const Project& project) {
    if (!project.has("CMakeLists.txt")) return std::nullopt;
    Recipe recipe = native_recipe("cmake", "CMakeLists.txt");
    const bool has_ninja = has_program("ninja");
    recipe.commands = {fmt::format("cmake -S . -B {} -DCMAKE_BUILD_TYPE=Release "
                                   "-DCMAKE_BUILD_RPATH_USE_ORIGIN=ON{}",
                                   kBuild, has_ninja ? " -G Ninja" : ""),
                       fmt::format("cmake --build {} --parallel \"$(nproc)\"", kBuild)};
    recipe.tools = {{"cmake", "cmake"}, {"c++", "g++"}};
    recipe.tools.push_back(has_ninja ? Tool{"ninja", "ninja-build"} : Tool{"make", "make"});
    recipe.programs_folder = kBuild;
    recipe.made = {std::string(kBuild)};
    recipe.cache = {std::string(kBuild)};
    return recipe;
}

std::optional<Recipe> meson_recipe(const Project& project) {
    if (!project.has("meson.build")) return std::nullopt;
    Recipe recipe = native_recipe("meson", "meson.build");
    recipe.commands = {
        fmt::format("[ -e {0}/build.ninja ] || meson setup {0} --buildtype=release", kBuild),
        fmt::format("ninja -C {}", kBuild)};
    recipe.tools = {{"meson", "meson"}, {"ninja", "ninja-build"}, {"c++", "g++"}};
    recipe.programs_folder = kBuild;
    recipe.made = {std::string(kBuild)};
    recipe.cache = {std::string(kBuild)};
    return recipe;
}

std::optional<Recipe> make_recipe(const Project& project) {
    std::string file;
    for (const std::string_view name : {"GNUmakefile", "Makefile", "makefile"}) {
        if (file.empty() && project.has(name)) file = name;
    }
    if (file.empty()) return std::nullopt;
    Recipe recipe = native_recipe("make", file);
    recipe.language = "make";
    recipe.commands = {"make -j\"$(nproc)\""};
    recipe.tools = {{"make", "make"}};
    return recipe;
}

}  // namespace candela::build
