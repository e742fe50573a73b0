#pragma once

// Where the commands of a build run: within walls, so that what a package brings along sees the
// sources, the build's own folders and the system, and nothing else of the machine. The host role
// has the walls (roles/host/build_workshop.h); main.cpp hands them to ctl. For one loop's thread.

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "loop/loop.h"
#include "loop/process.h"
#include "loop/task.h"

namespace candela::build {

struct WorkOrder {
    std::vector<std::string> command;
    std::vector<std::string> environment;  // NAME=value, all of it
    std::string directory;
    std::vector<std::string> writable;  // folders
    std::vector<std::string> readable;  // beside the system's
    bool has_network = true;
};

class WorkListener {
public:
    virtual void on_output(OutputKind kind, std::string_view bytes) = 0;

protected:
    ~WorkListener() = default;
};

class Workshop {
public:
    virtual ~Workshop() = default;

    // Before anything else. `project` is a name by which it is told from others; keepers have their
    // sockets in `run_folder`.
    virtual Task<Result<>> open(std::string project, std::filesystem::path run_folder) = 0;
    // Whose what is writable must be; absent: ours.
    virtual std::optional<uint32_t> owner() const = 0;
    // What stands around a command, and what does not, for people to read.
    virtual std::string describe() const = 0;
    // Whether has_network = false keeps it out.
    virtual bool can_shut_network() const = 0;
    // Runs the command to its end. Destroying the task ends it, with all that it has started.
    virtual Task<Result<ExitStatus>> run(WorkOrder order, WorkListener& listener) = 0;
};

using MakeWorkshop = std::function<std::unique_ptr<Workshop>(Loop& loop)>;

}  // namespace candela::build
