#include "build/bundle_rules.h"

#include <algorithm>
#include <set>

#include "base/text.h"

namespace candela::build {

namespace {

// A path as a pattern that matches it and nothing else.
std::string pattern_of(std::string_view path) {
    std::string out;
    for (const char c : path) {
        if (std::string_view("*?[]\\ !#").find(c) != std::string_view::npos) out += '\\';
        out += c;
    }
    return out;
}

bool is_below(std::string_view path, std::string_view folder) {
    return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

}  // namespace

std::string rules_that_keep(std::string_view folder, std::vector<std::string> paths) {
    std::ranges::sort(paths);
    std::vector<std::string> outermost;
    for (const std::string& path : paths) {
        const bool is_inner = std::ranges::any_of(outermost, [&](const std::string& other) {
            return path == other || is_below(path, other);
        });
        if (!is_inner) outermost.push_back(path);
    }
    std::string lines = folder.empty() ? "/*\n" : fmt::format("/{}/*\n", pattern_of(folder));
    std::set<std::string> opened;
    if (!folder.empty()) opened.emplace(folder);
    for (const std::string& path : outermost) {
        for (size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1)) {
            const std::string parent = path.substr(0, at);
            const bool is_outer = is_below(folder, parent);
            if (is_outer || !opened.insert(parent).second) continue;
            lines += fmt::format("!/{0}\n/{0}/*\n", pattern_of(parent));
        }
        lines += fmt::format("!/{}\n", pattern_of(path));
    }
    return lines;
}

Result<std::string> bundle_rules(const Recipe& recipe, const Project& built, std::string_view own) {
    std::string lines;
    if (!recipe.output.empty()) {
        for (const std::string& path : recipe.output) {
            if (built.has(path) || built.has_folder(path)) continue;
            return fail(Code::kInvalid,
                        "the build made no {}\ntry: [build] output and commands in service.toml",
                        printable(path));
        }
        lines += rules_that_keep("", recipe.output);
    } else if (!recipe.programs_folder.empty()) {
        std::vector<std::string> kept = find_programs(built, recipe.programs_folder);
        for (std::string& path : find_libraries(built, recipe.programs_folder)) {
            kept.push_back(std::move(path));
        }
        lines += rules_that_keep(recipe.programs_folder, std::move(kept));
    }
    if (recipe.output.empty()) {
        for (const std::string& line : recipe.left_out) lines += line + "\n";
    }
    lines += own;
    return lines;
}

}  // namespace candela::build
