#include "build/project_cache.h"

#include <sys/stat.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "build/recipe.h"
#include "build/source_tree.h"
#include "crypto/hash.h"

namespace candela::build {

namespace fs = std::filesystem;

namespace {

constexpr size_t kResultFileMax = 1 << 20;

// Whether a folder on the way to it is a link: what a build has made may lead anywhere.
bool leads_through_link(const fs::path& root, std::string_view path) {
    fs::path at = root;
    for (const std::string_view part : split(path, '/')) {
        at /= part;
        struct stat look{};
        if (lstat(at.c_str(), &look) != 0) return false;
        if (S_ISLNK(look.st_mode)) return true;
    }
    return false;
}

Result<> move_folder(const fs::path& from, const fs::path& to) {
    std::error_code error;
    if (!fs::is_directory(fs::symlink_status(from, error))) return {};
    CANDELA_TRY(make_directories(to.parent_path()));
    CANDELA_TRY(remove_tree(to));
    fs::rename(from, to, error);
    if (error)
        return fail_errno(fmt::format("{} -> {}", from.native(), to.native()), error.value());
    return {};
}

// Sorted by when they were last written, the oldest first.
std::vector<fs::path> by_age(const fs::path& folder, std::string_view file) {
    std::vector<std::pair<fs::file_time_type, fs::path>> found;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        std::error_code missing;
        const auto time = fs::last_write_time(entry.path() / file, missing);
        found.emplace_back(missing ? fs::file_time_type::min() : time, entry.path());
    }
    std::ranges::sort(found);
    std::vector<fs::path> paths;
    paths.reserve(found.size());
    for (auto& [time, path] : found) paths.push_back(std::move(path));
    return paths;
}

uint64_t noted_size(const fs::path& project) {
    const auto text = read_file(project / "size", 64);
    return text ? parse_uint(trim(*text)).value_or(0) : 0;
}

}  // namespace

Result<fs::path> cache_folder(const std::function<std::string(const char* name)>& environment) {
    const std::string named = environment("XDG_CACHE_HOME");
    if (named.starts_with('/')) return fs::path(named) / "candela" / "build";
    const std::string home = environment("HOME");
    if (home.starts_with('/')) return fs::path(home) / ".cache" / "candela" / "build";
    return fail(Code::kInvalid, "there is no place to build in\ntry: set HOME or XDG_CACHE_HOME");
}

Result<ProjectCache> ProjectCache::open(const fs::path& root, const fs::path& project) {
    std::error_code error;
    const fs::path real = fs::canonical(project, error);
    if (error) return fail_errno(project.native(), error.value());
    constexpr size_t kHashLength = 12;
    std::string name = service_name_of(real.filename().native());
    if (name.empty()) name = "project";
    const fs::path folder =
        root / fmt::format("{}-{}", name,
                           crypto::sha256_hex(as_bytes(real.native())).substr(0, kHashLength));
    CANDELA_TRY(make_directories(folder, 0700));
    auto lock = FileLock::acquire(folder / "lock");
    if (!lock && lock.error().code() == Code::kConflict) {
        return fail(Code::kConflict, "{} is being built already", real.native());
    }
    if (!lock) return fail(lock.error());
    return ProjectCache(folder, std::move(*lock));
}

Result<> ProjectCache::prepare() {
    CANDELA_TRY(clear_work());
    for (const fs::path& path : {home(), temporary(), work()}) {
        CANDELA_TRY(make_directories(path, 0700));
    }
    return {};
}

Result<> ProjectCache::clear_work() {
    CANDELA_TRY(remove_tree(work()));
    CANDELA_TRY(remove_tree(temporary()));
    return remove_tree(run());
}

Result<> ProjectCache::lend(const std::vector<std::string>& folders) {
    for (const std::string& path : folders) {
        if (leads_through_link(work(), path)) continue;
        CANDELA_TRY(move_folder(folder_ / "kept" / path, work() / path));
    }
    return {};
}

Result<> ProjectCache::take_back(const std::vector<std::string>& folders) {
    for (const std::string& path : folders) {
        if (leads_through_link(work(), path)) continue;
        CANDELA_TRY(move_folder(work() / path, folder_ / "kept" / path));
    }
    return {};
}

Result<> ProjectCache::forget() {
    CANDELA_TRY(remove_tree(home()));
    return remove_tree(folder_ / "kept");
}

fs::path ProjectCache::result_folder(std::string_view key) const {
    return folder_ / "results" / key;
}

std::optional<BuildOutcome> ProjectCache::find(std::string_view key) const {
    const fs::path folder = result_folder(key);
    const auto text = read_file(folder / "result.json", kResultFileMax);
    if (!text) return std::nullopt;
    const auto json = parse_json(*text);
    if (!json || !json->is_object()) return std::nullopt;
    BuildOutcome outcome;
    outcome.bundle = folder / "bundle.tar.zst";
    outcome.info.digest = json_string_or(*json, "digest");
    outcome.info.size_bytes = static_cast<uint64_t>(json_int_or(*json, "size", 0));
    outcome.info.files = static_cast<uint64_t>(json_int_or(*json, "files", 0));
    outcome.info.unpacked_bytes = static_cast<uint64_t>(json_int_or(*json, "unpacked", 0));
    if (json->contains("command") && (*json)["command"].is_array()) {
        for (const Json& word : (*json)["command"]) {
            if (word.is_string()) outcome.command.push_back(word.get<std::string>());
        }
    }
    const auto digest = service::digest_file(outcome.bundle);
    if (!digest || *digest != outcome.info.digest) return std::nullopt;
    std::error_code ignored;
    fs::last_write_time(folder / "result.json", fs::file_time_type::clock::now(), ignored);
    return outcome;
}

Result<fs::path> ProjectCache::place_for(std::string_view key) {
    CANDELA_TRY(remove_tree(result_folder(key)));
    CANDELA_TRY(make_directories(result_folder(key), 0700));
    return result_folder(key) / "bundle.tar.zst";
}

Result<> ProjectCache::keep(std::string_view key, const BuildOutcome& outcome) {
    const Json json = {{"digest", outcome.info.digest},
                       {"size", outcome.info.size_bytes},
                       {"files", outcome.info.files},
                       {"unpacked", outcome.info.unpacked_bytes},
                       {"command", outcome.command}};
    CANDELA_TRY(write_file(result_folder(key) / "result.json", dump_json(json)));
    std::vector<fs::path> results = by_age(folder_ / "results", "result.json");
    std::erase(results, result_folder(key));
    for (size_t i = 0; i + kResultsMax <= results.size(); ++i) CANDELA_TRY(remove_tree(results[i]));
    return {};
}

Result<std::vector<std::string>> ProjectCache::bound(uint64_t bytes_max) {
    std::vector<std::string> dropped;
    const uint64_t kept = tree_bytes(home()) + tree_bytes(folder_ / "kept");
    if (kept > bytes_max) {
        CANDELA_TRY(forget());
        dropped.push_back(
            fmt::format("what package managers had kept ({}; [build] cache_max is {})",
                        format_size(kept), format_size(bytes_max)));
    }
    const uint64_t own = tree_bytes(folder_);
    CANDELA_TRY(write_file(folder_ / "size", fmt::format("{}\n", own)));
    uint64_t all = 0;
    const std::vector<fs::path> projects = by_age(folder_.parent_path(), "size");
    for (const fs::path& project : projects) all += noted_size(project);
    for (const fs::path& project : projects) {
        if (all <= kAllBytesMax || project == folder_) continue;
        const auto lock = FileLock::acquire(project / "lock");
        if (!lock) continue;  // it is being built
        all -= std::min(all, noted_size(project));
        CANDELA_TRY(remove_tree(project));
        dropped.push_back("the cache of " + project.filename().native());
    }
    return dropped;
}

}  // namespace candela::build
