#pragma once

// Runs instances as processes, each kept by a keeper (keeper/keeper.h): a process of its own that
// outlives this one, so that a host which is restarted, upgraded or killed finds its instances
// again. Needs a UvLoop.

#include <filesystem>
#include <list>
#include <map>
#include <memory>

#include "base/log.h"
#include "driver.h"
#include "loop/address.h"
#include "loop/flow.h"
#include "loop/loop.h"
#include "walls_plan.h"

namespace candela::host {

struct ProcessDriverOptions {
    std::filesystem::path run_folder;  // a folder for each instance is made in it
    bool ends_with_host = false;       // instances end when this process does, whatever ends it
    Address bus;                       // of instances that have a network of their own
    std::string run_id;                // by which the remains of a keeper that was killed are known
};

class ProcessDriver final : public Driver {
public:
    ProcessDriver(Loop& loop, Logger log);
    ~ProcessDriver() override;

    // Before anything else; blocking, for moments.
    Result<> open(ProcessDriverOptions options);
    // What this kernel lets us do.
    Task<Result<Abilities>> examine();
    // What is started from now on stands within these walls; without them within none.
    void set_walls(WallSettings walls) { walls_ = std::move(walls); }

    Result<std::unique_ptr<Running>> start(const StartRequest& request,
                                           RunningHandler& handler) override;
    Task<Result<std::vector<FoundInstance>>> find() override;
    std::unique_ptr<Running> adopt(const std::string& instance, RunningHandler& handler) override;
    void let_go() override;

    // Instances whose end is not known yet, also those whose Running is gone.
    size_t process_count() const { return kept_.size(); }

    // What a keeper that does not answer when we look for it has.
    static constexpr Duration kAnswerTimeout = 5s;

private:
    class Kept;
    class Handle;

    Task<void> find_one(std::string instance, std::filesystem::path folder);
    void add_found(const std::shared_ptr<Kept>& kept);
    void forget(Kept& kept);
    void discard(const std::filesystem::path& folder);

    Loop& loop_;
    Logger log_;
    ProcessDriverOptions options_;
    WallSettings walls_;
    int image_ = -1;  // descriptor of the keeper's executable
    bool has_let_go_ = false;
    std::list<std::shared_ptr<Kept>> kept_;
    std::map<std::string, std::shared_ptr<Kept>> found_;
};

}  // namespace candela::host
