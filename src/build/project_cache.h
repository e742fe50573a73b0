#pragma once

// What is kept of a project from one build to the next, below $XDG_CACHE_HOME/candela/build:
//
//   <name>-<hash of its path>/
//     lock  build.log  size
//     home/     HOME of the commands: what package managers keep
//     tmp/      TMPDIR, empty before and after
//     work/     the copy that is built
//     kept/     folders of the copy that the recipe names
//     results/<key>/  bundle.tar.zst and result.json: the same sources need not be built again
//     run/      keepers' sockets
//
// All of it may be removed at any time that nobody builds. Blocking: on the pool.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "loop/file.h"
#include "service/bundle.h"

namespace candela::build {

// A bundle that was built, with what is known of it.
struct BuildOutcome {
    std::filesystem::path bundle;
    service::BundleInfo info;
    std::vector<std::string> command;  // that starts it; empty: not known, or not needed
};

// $XDG_CACHE_HOME/candela/build, or below ~/.cache. kInvalid where there is neither.
Result<std::filesystem::path> cache_folder(
    const std::function<std::string(const char* name)>& environment);

class ProjectCache {
public:
    // Makes the folder. kConflict while another build of the same project holds it.
    static Result<ProjectCache> open(const std::filesystem::path& root,
                                     const std::filesystem::path& project);

    const std::filesystem::path& folder() const { return folder_; }
    std::filesystem::path home() const { return folder_ / "home"; }
    std::filesystem::path temporary() const { return folder_ / "tmp"; }
    std::filesystem::path work() const { return folder_ / "work"; }
    std::filesystem::path run() const { return folder_ / "run"; }
    std::filesystem::path log_file() const { return folder_ / "build.log"; }

    // Empty work/ and tmp/, and home/.
    Result<> prepare();
    // Moves the folders into the copy, or out of it. One that is not there is no error.
    Result<> lend(const std::vector<std::string>& folders);
    Result<> take_back(const std::vector<std::string>& folders);
    // Forgets what package managers and builds have left: home/ and kept/.
    Result<> forget();
    Result<> clear_work();

    // The key names sources, commands and tools. Absent where it was not built, or what there is
    // does not have its digest any more.
    std::optional<BuildOutcome> find(std::string_view key) const;
    // Where the next bundle is to be written; then keep() it, which drops the oldest of more than
    // kResultsMax.
    Result<std::filesystem::path> place_for(std::string_view key);
    Result<> keep(std::string_view key, const BuildOutcome& outcome);

    // Bounds home/ and kept/ by bytes_max, and all projects of the root by kAllBytesMax: those that
    // were built longest ago go. Returns what was dropped, for people.
    Result<std::vector<std::string>> bound(uint64_t bytes_max);

    static constexpr size_t kResultsMax = 3;
    static constexpr uint64_t kAllBytesMax = 10ULL << 30;

private:
    ProjectCache(std::filesystem::path folder, FileLock lock)
        : folder_(std::move(folder)), lock_(std::move(lock)) {}
    std::filesystem::path result_folder(std::string_view key) const;

    std::filesystem::path folder_;
    FileLock lock_;
};

}  // namespace candela::build
