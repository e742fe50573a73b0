#pragma once

// Runs instances in containers of an engine (Docker, Podman). Containers belong to the engine and
// outlive this process; a file beside each says what the next host has to know, and a label on each
// tells whose it is. Where the engine is away its instances are neither started nor ended, and what
// became of them is found out when it is back. Lives on the control loop.

#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "docker_api.h"
#include "docker_engine.h"
#include "docker_note.h"
#include "driver.h"
#include "loop/flow.h"
#include "loop/loop.h"

namespace candela::host {

struct DockerDriverOptions {
    std::filesystem::path run_folder;
    std::string run_id;           // of this data folder: what carries another one is not ours
    bool ends_with_host = false;  // what an earlier host left is ended, and not found
    InstanceLimits limits;        // where a service names none
};

class DockerDriver final : public Driver {
public:
    DockerDriver(Loop& loop, DockerEngine& engine, Logger log);
    ~DockerDriver() override;

    void open(DockerDriverOptions options) { options_ = std::move(options); }
    // The engine came: what nobody knows of is removed. To be called for each change of it.
    void on_engine_change();

    Result<std::unique_ptr<Running>> start(const StartRequest& request,
                                           RunningHandler& handler) override;
    Task<Result<std::vector<FoundInstance>>> find() override;
    std::unique_ptr<Running> adopt(const std::string& instance, RunningHandler& handler) override;
    void let_go() override;

    size_t container_count() const { return kept_.size(); }

    static constexpr Duration kNoteInterval = 1s;   // how far behind the note of a log may be
    static constexpr Duration kUsageInterval = 5s;  // how often an engine is asked
    static constexpr Duration kRetryPause = 250ms;  // after a request that failed
    static constexpr int kDrainTries = 20;          // to read to the end of a log, in a row
    static constexpr Duration kReopenPause = 50ms;  // of a log that ended before its container

private:
    class Kept;
    class Beside;
    class Session;
    class Handle;
    using KeptPtr = std::shared_ptr<Kept>;

    Task<void> find_one(ContainerNote note);
    bool knows(const ContainerEntry& entry) const;
    Task<void> sweep();
    Task<void> remove(std::string id);
    Task<void> end_exec(std::string container, std::string exec);
    Task<void> end_marked(std::string mark);
    void forget(Kept& kept);

    Loop& loop_;
    DockerEngine& engine_;
    Logger log_;
    DockerDriverOptions options_;
    bool has_let_go_ = false;
    bool has_looked_ = false;  // find() is over: what nobody knows of is nobody's
    std::list<KeptPtr> kept_;
    std::map<std::string, KeptPtr> found_;
    TaskGroup tasks_;  // last: its flows use the rest
};

}  // namespace candela::host
