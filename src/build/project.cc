#include "build/project.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/text.h"

namespace candela::build {

namespace fs = std::filesystem;

bool Project::has(std::string_view path) const {
    std::error_code ignored;
    return fs::is_regular_file(folder_ / path, ignored);
}

bool Project::has_folder(std::string_view path) const {
    std::error_code ignored;
    return fs::is_directory(folder_ / path, ignored);
}

std::string Project::text(std::string_view path) const {
    if (!has(path)) return "";
    std::ifstream file(folder_ / path, std::ios::binary);
    std::string text(kFileMax, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(file.gcount()));
    return text;
}

std::vector<std::string> Project::files(std::string_view path, std::string_view ending) const {
    constexpr std::string_view kMade[] = {"node_modules", "vendor", "target", "build", "dist"};
    std::vector<std::string> found;
    std::error_code error;
    fs::recursive_directory_iterator each(folder_ / path, error);
    for (; !error && each != fs::recursive_directory_iterator(); each.increment(error)) {
        const std::string name = each->path().filename().native();
        std::error_code ignored;
        if (each->is_directory(ignored)) {
            const bool is_made = std::ranges::find(kMade, name) != std::end(kMade);
            if (is_made || name.starts_with('.')) each.disable_recursion_pending();
            continue;
        }
        if (!name.ends_with(ending) || !each->is_regular_file(ignored)) continue;
        if (found.size() == kFilesMax) break;
        found.push_back(each->path().lexically_relative(folder_).native());
    }
    std::ranges::sort(found);
    return found;
}

bool has_program(std::string_view name) {
    return std::ranges::any_of(split(kSystemPath, ':'), [&](std::string_view folder) {
        return access(fmt::format("{}/{}", folder, name).c_str(), X_OK) == 0;
    });
}

std::string shell_quoted(std::string_view text) {
    std::string out = "'";
    for (const char c : text) {
        if (c == '\'')
            out += "'\\''";
        else
            out += c;
    }
    return out + "'";
}

}  // namespace candela::build
