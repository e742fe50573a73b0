// PHP: composer.json, or pages alone. PHP's own server answers; one process for each of a few
// requests at a time.

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "build/recipe.h"

namespace candela::build {

namespace {

// Whether composer has anything to fetch: other than PHP itself and its extensions.
bool needs_packages(const Json& composer) {
    if (!composer.is_object() || !composer.contains("require")) return false;
    const Json& required = composer["require"];
    if (!required.is_object()) return true;
    for (const auto& [name, version] : required.items()) {
        const bool is_platform = name == "php" || name.starts_with("php-") ||
                                 name.starts_with("ext-") || name.starts_with("lib-");
        if (!is_platform) return true;
    }
    return false;
}

std::string pages_folder(const Project& project) {
    for (const std::string_view folder : {"public", "web", "www", "htdocs"}) {
        if (project.has(fmt::format("{}/index.php", folder))) return std::string(folder);
    }
    return project.has("index.php") ? "." : "";
}

}  // namespace

std::optional<Recipe> php_recipe(const Project& project) {
    const bool has_manifest = project.has("composer.json");
    const std::string pages = pages_folder(project);
    if (!has_manifest && pages.empty()) return std::nullopt;
    Recipe recipe;
    recipe.name = "php";
    recipe.language = "PHP";
    recipe.manifest = has_manifest   ? "composer.json"
                      : pages == "." ? "index.php"
                                     : pages + "/index.php";
    if (has_manifest) {
        const auto composer = parse_json(project.text("composer.json"));
        const bool autoloads = composer && composer->is_object() && composer->contains("autoload");
        if (!composer || autoloads || needs_packages(*composer)) {
            recipe.made = {"vendor"};
            recipe.tools = {{"php", "php-cli"}, {"composer", "composer"}};
            recipe.commands = {
                "composer install --no-dev --no-interaction --no-progress --prefer-dist "
                "--optimize-autoloader"};
        }
        if (composer) {
            const std::string name = json_string_or(*composer, "name");
            const auto parts = split_once(name, '/');
            recipe.defaults.name = service_name_of(parts ? parts->second : std::string_view(name));
        }
    }
    if (const std::string line = procfile_web(project); !line.empty()) {
        recipe.defaults.command = shell_command(line);
    } else if (!pages.empty()) {
        recipe.defaults.command =
            shell_command(fmt::format("exec php -S \"$HOST:$PORT\" -t {}", pages));
        recipe.defaults.env = {{"PHP_CLI_SERVER_WORKERS", "4"}};
    }
    return recipe;
}

}  // namespace candela::build
