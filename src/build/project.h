#pragma once

// The folder that somebody wants to deploy, as recipes look at it: a few small files, and which
// names there are. Blocking; any thread.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candela::build {

class Project {
public:
    explicit Project(std::filesystem::path folder) : folder_(std::move(folder)) {}

    const std::filesystem::path& folder() const { return folder_; }
    bool has(std::string_view path) const;         // a file
    bool has_folder(std::string_view path) const;  // a folder
    // "" where it is not there, or can't be read. What is beyond kFileMax is not looked at.
    std::string text(std::string_view path) const;
    // Files below `path` whose name ends so, sorted, relative to the project; without folders that
    // begin with a dot, and those that package managers make. At most kFilesMax.
    std::vector<std::string> files(std::string_view path, std::string_view ending) const;

    static constexpr size_t kFileMax = 1 << 20;
    static constexpr size_t kFilesMax = 20'000;

private:
    std::filesystem::path folder_;
};

// Whether the machine has such a program where services find theirs.
bool has_program(std::string_view name);

// As PATH, of builds and of services that bring none of their own.
inline constexpr std::string_view kSystemPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// A text between quotes that a shell takes as it is.
std::string shell_quoted(std::string_view text);

}  // namespace candela::build
