#include "build/recipe.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <functional>

#include "base/text.h"

namespace candela::build {

namespace {

using Find = std::function<std::optional<Recipe>()>;

// In the order in which they are asked.
std::vector<std::pair<std::string_view, Find>> recipes_for(const Project& project,
                                                           const service::BuildSpec& spec) {
    return {{"node", [&] { return node_recipe(project); }},
            {"python", [&] { return python_recipe(project, spec); }},
            {"maven", [&] { return maven_recipe(project, spec); }},
            {"php", [&] { return php_recipe(project); }},
            {"cmake", [&] { return cmake_recipe(project); }},
            {"meson", [&] { return meson_recipe(project); }},
            {"make", [&] { return make_recipe(project); }},
            {"java", [&] { return java_recipe(project); }}};
}

// ELF files by what they are: 2 a program, 3 a shared library or a program that moves.
struct Elf {
    bool is_elf = false;
    bool is_executable = false;
};

Elf look_at(const std::filesystem::path& path) {
    Elf elf;
    struct stat look{};
    if (stat(path.c_str(), &look) != 0 || !S_ISREG(look.st_mode)) return elf;
    std::array<char, 18> head{};
    std::ifstream file(path, std::ios::binary);
    if (!file.read(head.data(), head.size())) return elf;
    const bool has_magic = std::string_view(head.data(), 4) ==
                           "\x7f"
                           "ELF";
    const int type = static_cast<unsigned char>(head[16]);
    elf.is_elf = has_magic && (type == 2 || type == 3);
    elf.is_executable = elf.is_elf && (look.st_mode & S_IXUSR) != 0;
    return elf;
}

bool is_library_name(std::string_view path) {
    const auto name = path.substr(path.rfind('/') + 1);
    return name.ends_with(".so") || name.find(".so.") != std::string_view::npos;
}

std::vector<std::string> elf_files(const Project& project, std::string_view folder,
                                   bool wants_libraries) {
    std::vector<std::string> found;
    const std::filesystem::path root = project.folder() / folder;
    std::error_code error;
    std::filesystem::recursive_directory_iterator each(root, error);
    for (; !error && each != std::filesystem::recursive_directory_iterator();
         each.increment(error)) {
        const std::string name = each->path().filename().native();
        std::error_code ignored;
        if (each->is_directory(ignored)) {
            const bool is_foreign = name == "CMakeFiles" || name == "meson-private" ||
                                    name == "node_modules" || name.starts_with('.');
            if (is_foreign) each.disable_recursion_pending();
            continue;
        }
        const bool is_library = is_library_name(name);
        if (is_library != wants_libraries) continue;
        const Elf elf = look_at(each->path());
        const bool fits = wants_libraries ? elf.is_elf : elf.is_executable;
        if (fits) found.push_back(each->path().lexically_relative(project.folder()).native());
    }
    std::ranges::sort(found);
    return found;
}

Result<std::vector<std::string>> command_of_programs(const Recipe& recipe, const Project& built,
                                                     const std::vector<std::string>& before,
                                                     std::string_view service_name) {
    std::vector<std::string> made;
    for (const std::string& path : find_programs(built, recipe.programs_folder)) {
        if (std::ranges::find(before, path) == before.end()) made.push_back(path);
    }
    const std::vector<std::string>* chosen = &made;
    std::vector<std::string> named;
    for (const std::string& path : made) {
        if (path.substr(path.rfind('/') + 1) == service_name) named.push_back(path);
    }
    if (made.size() > 1 && named.size() == 1) chosen = &named;
    if (chosen->size() == 1) return std::vector<std::string>{"./" + chosen->front()};
    if (made.empty()) {
        return fail(Code::kInvalid, "{} built no program\ntry: command = [\"./…\"] in service.toml",
                    recipe.manifest);
    }
    constexpr size_t kShownMax = 8;
    made.resize(std::min(made.size(), kShownMax));
    return fail(Code::kInvalid,
                "{} built several programs: {}\ntry: command = [\"./{}\"] in service.toml",
                recipe.manifest, join(made, ", "), made.front());
}

Result<std::vector<std::string>> command_of_jar(const Project& built) {
    std::vector<std::string> jars;
    std::error_code error;
    const std::filesystem::path target = built.folder() / "target";
    for (const auto& entry : std::filesystem::directory_iterator(target, error)) {
        const std::string name = entry.path().filename().native();
        const bool is_other = name.starts_with("original-") || name.ends_with("-sources.jar") ||
                              name.ends_with("-javadoc.jar") || name.ends_with("-tests.jar");
        if (name.ends_with(".jar") && !is_other) jars.push_back("target/" + name);
    }
    std::ranges::sort(jars);
    if (built.has("target/quarkus-app/quarkus-run.jar")) {
        jars = {"target/quarkus-app/quarkus-run.jar"};
    }
    if (jars.size() == 1) return std::vector<std::string>{"java", "-jar", jars.front()};
    return fail(Code::kInvalid,
                "target/ has {} jars to start\ntry: command = [\"java\", \"-jar\", "
                "\"target/….jar\"] in service.toml",
                jars.size());
}

}  // namespace

Result<std::optional<Recipe>> find_recipe(const Project& project, const service::BuildSpec& spec) {
    std::optional<Recipe> found;
    std::vector<std::string> others;
    for (const auto& [name, find] : recipes_for(project, spec)) {
        if (!spec.recipe.empty() && name != spec.recipe) continue;
        auto recipe = find();
        if (!recipe) continue;
        if (found)
            others.push_back(recipe->manifest);
        else
            found = std::move(recipe);
    }
    if (!spec.recipe.empty() && !found) {
        return fail(Code::kInvalid, "[build] recipe = \"{}\": the folder has nothing of that kind",
                    spec.recipe);
    }
    if (!spec.commands.empty()) {
        Recipe own = found.value_or(Recipe());
        own.commands = spec.commands;
        own.tools.clear();
        if (!found) own.language = "[build] commands";
        found = std::move(own);
    }
    if (!found) return found;
    if (!others.empty() && spec.recipe.empty() && spec.commands.empty()) {
        found->note =
            fmt::format("built by {}; {} is not looked at ([build] recipe says otherwise)",
                        found->manifest, join(others, ", "));
    }
    for (const std::string& folder : spec.cache) found->cache.push_back(folder);
    if (!spec.output.empty()) {
        found->output = spec.output;
        found->programs_folder.clear();
    }
    return found;
}

Result<> check_tools(const Recipe& recipe) {
    for (const Tool& tool : recipe.tools) {
        if (has_program(tool.name)) continue;
        return fail(Code::kUnsupported,
                    "{} needs {} to be built ({}), and this machine has none in {}\n"
                    "try: apt-get install {}, or [build] commands in service.toml, or "
                    "--no-build where the folder has been built already",
                    recipe.manifest, tool.name, recipe.language, kSystemPath, tool.package);
    }
    return {};
}

Result<std::vector<std::string>> find_command(const Recipe& recipe, const Project& built,
                                              const std::vector<std::string>& before,
                                              std::string_view service_name) {
    switch (recipe.product) {
        case Product::kPrograms: return command_of_programs(recipe, built, before, service_name);
        case Product::kJar: return command_of_jar(built);
        case Product::kNone: break;
    }
    return recipe.defaults.command;
}

std::vector<std::string> find_programs(const Project& project, std::string_view folder) {
    return elf_files(project, folder, false);
}
std::vector<std::string> find_libraries(const Project& project, std::string_view folder) {
    return elf_files(project, folder, true);
}

std::string procfile_web(const Project& project) {
    const std::string text = project.text("Procfile");
    for (const std::string_view line : split(text, '\n')) {
        const auto parts = split_once(line, ':');
        if (parts && trim(parts->first) == "web") return std::string(trim(parts->second));
    }
    return "";
}

std::vector<std::string> shell_command(std::string_view line) {
    return {"/bin/sh", "-c", std::string(line)};
}

std::string service_name_of(std::string_view text) {
    constexpr size_t kNameMax = 63;
    std::string name;
    for (const char c : ascii_lower(text)) {
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (is_plain)
            name += c;
        else if (!name.empty() && name.back() != '-')
            name += '-';
    }
    const size_t first = name.find_first_of("abcdefghijklmnopqrstuvwxyz");
    if (first == std::string::npos) return "";
    name = name.substr(first, kNameMax);
    while (name.ends_with('-')) name.pop_back();
    return name;
}

}  // namespace candela::build
