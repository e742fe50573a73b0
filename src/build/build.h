#pragma once

// One build as a flow: sources → copy → commands within walls → bundle. Nothing outside the
// project's cache is written, and a build that fails, or is cancelled, leaves no result. For one
// loop's thread; what blocks runs on the pool.

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "build/project_cache.h"
#include "build/recipe.h"
#include "build/workshop.h"
#include "loop/flow.h"
#include "loop/loop.h"
#include "loop/task.h"

namespace candela::build {

struct BuildRequest {
    std::filesystem::path folder;
    std::filesystem::path project;  // the folder that the cache is kept for; empty: the same
    service::BuildSpec spec;
    Recipe recipe;
    std::string service_name;    // tells which of several programs is meant
    bool finds_command = false;  // the recipe's product is what starts the service
    bool is_anew = false;        // though the same sources were built before, and from nothing
    std::function<std::string(const char* name)> environment;  // the caller's; "" where not set
};

class BuildListener {
public:
    virtual void on_note(std::string_view line) = 0;     // what happens
    virtual void on_output(std::string_view bytes) = 0;  // of the commands, as it comes

protected:
    ~BuildListener() = default;
};

// What was built. The cache stays locked while it lives: another build would drop the bundle.
struct Built {
    BuildOutcome outcome;
    bool was_there = false;  // the same sources had been built before
    std::unique_ptr<ProjectCache> lock;
};

// Waits for another build of the same folder to end. kInternal with the command that failed, its
// last lines and what to do.
Task<Result<Built>> build(Loop& loop, Workshop& workshop, BuildRequest request,
                          BuildListener& listener);

// Variables that reach builds by themselves: where proxies, mirrors and authorities are.
std::vector<std::string> passed_variables(
    const std::function<std::string(const char* name)>& environment,
    const std::vector<std::string>& also);

inline constexpr size_t kLastLinesMax = 20;
inline constexpr uint64_t kBuildLogMax = 64 << 20;  // bytes of build.log

}  // namespace candela::build
