// Node.js: package.json, with npm, yarn or pnpm by the lock file that is there.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "build/recipe.h"

namespace candela::build {

namespace {

bool has_member(const Json& package, const char* table, std::string_view name) {
    return package.contains(table) && package[table].is_object() &&
           package[table].contains(std::string(name));
}

bool uses(const Json& package, std::string_view name) {
    return has_member(package, "dependencies", name) ||
           has_member(package, "devDependencies", name);
}

bool has_any(const Json& package, const char* table) {
    return package.contains(table) && package[table].is_object() && !package[table].empty();
}

std::string script_of(const Json& package, const char* name) {
    if (!has_member(package, "scripts", name)) return "";
    return json_string_or(package["scripts"], name);
}

struct Manager {
    Tool tool;
    std::string install, run, prune;
};

Manager manager_of(const Project& project) {
    if (project.has("pnpm-lock.yaml")) {
        return {{"pnpm", "npm, then: npm install -g pnpm"},
                "pnpm install --frozen-lockfile",
                "pnpm run",
                "pnpm prune --prod"};
    }
    if (project.has("yarn.lock")) {
        return {{"yarn", "npm, then: npm install -g yarn"},
                "yarn install --frozen-lockfile --non-interactive",
                "yarn run",
                "yarn install --production --frozen-lockfile --non-interactive --offline"};
    }
    const bool is_locked = project.has("package-lock.json") || project.has("npm-shrinkwrap.json");
    return {{"npm", "npm"},
            fmt::format("npm {} --include=dev --no-audit --no-fund", is_locked ? "ci" : "install"),
            "npm run",
            "npm prune --omit=dev --no-audit --no-fund"};
}

// Where a builder of sites puts what it makes; "" where there is none, or where a server of its own
// runs: its start script says that.
std::string site_folder(const Project& project, const Json& package) {
    const std::string start = script_of(package, "start");
    const bool starts_for_development =
        start.empty() || start.starts_with("vite") || start.starts_with("react-scripts") ||
        start.starts_with("astro") || start.starts_with("parcel") || start.starts_with("webpack");
    if (!starts_for_development) return "";
    if (uses(package, "react-scripts")) return "build";
    const bool is_site = uses(package, "vite") || uses(package, "astro") ||
                         uses(package, "parcel") || uses(package, "webpack") ||
                         project.has("vite.config.js") || project.has("vite.config.ts") ||
                         project.has("vite.config.mjs");
    return is_site ? "dist" : "";
}

std::vector<std::string> start_command(const Project& project, const Json& package) {
    if (const std::string line = procfile_web(project); !line.empty()) return shell_command(line);
    const std::string start = script_of(package, "start");
    if (!start.empty()) {
        // "node server.js" needs no shell between the host and the program.
        const bool is_plain = start.find_first_of("$&|;<>()'\"`\\*?=") == std::string::npos;
        std::vector<std::string> words;
        for (const std::string_view word : split(start, ' ')) {
            if (!word.empty()) words.emplace_back(word);
        }
        if (is_plain && !words.empty() && words.front() == "node") return words;
        return shell_command("export PATH=\"$PWD/node_modules/.bin:$PATH\"; " + start);
    }
    const std::string main = json_string_or(package, "main");
    for (const std::string& file :
         {main, main + ".js", std::string("server.js"), std::string("app.js"),
          std::string("index.js"), std::string("server.mjs"), std::string("index.mjs")}) {
        if (!file.empty() && project.has(file)) return {"node", file};
    }
    return {};
}

}  // namespace

std::optional<Recipe> node_recipe(const Project& project) {
    if (!project.has("package.json")) return std::nullopt;
    Recipe recipe;
    recipe.name = "node";
    recipe.language = "Node.js";
    recipe.manifest = "package.json";
    const auto parsed = parse_json(project.text("package.json"));
    if (!parsed || !parsed->is_object()) {
        // The package manager says better what is wrong with it.
        recipe.commands = {"npm install --no-audit --no-fund"};
        recipe.tools = {{"npm", "npm"}};
        return recipe;
    }
    const Json& package = *parsed;
    recipe.defaults.name = service_name_of(json_string_or(package, "name"));

    recipe.made = {"node_modules"};
    const Manager manager = manager_of(project);
    const bool builds = !script_of(package, "build").empty();
    const bool has_packages =
        has_any(package, "dependencies") || has_any(package, "devDependencies") ||
        has_any(package, "optionalDependencies") || package.contains("workspaces");
    if (!has_packages) recipe.made.clear();
    if (has_packages) recipe.commands.push_back(manager.install);
    if (builds) recipe.commands.push_back(manager.run + " build");
    if (!recipe.commands.empty()) recipe.tools = {{"node", "nodejs"}, manager.tool};

    const std::string site = builds ? site_folder(project, package) : "";
    if (!site.empty()) {
        recipe.defaults.kind = service::Kind::kStatic;
        recipe.defaults.root = site;
        recipe.output = {site};
        recipe.made.push_back(site);
        return recipe;
    }
    if (has_any(package, "devDependencies")) recipe.commands.push_back(manager.prune);
    recipe.defaults.command = start_command(project, package);
    recipe.defaults.env = {{"NODE_ENV", "production"}};
    recipe.left_out = {"node_modules/.cache", "node_modules/.package-lock.json", "/.npmrc"};
    return recipe;
}

}  // namespace candela::build
