#pragma once

// Prepares instances of this host: bundle and credential at the same time, and the instance's own
// folders in DIR/host/run/<instance>/. Lives on the control loop.

#include <filesystem>
#include <set>
#include <string>

#include "base/log.h"
#include "bundle_store.h"
#include "credentials.h"
#include "docker_engine.h"
#include "instance_values.h"
#include "loop/loop.h"
#include "preparer.h"
#include "protections.h"

namespace candela::host {

class HostPreparer final : public Preparer {
public:
    HostPreparer(Loop& loop, BundleStore& bundles, Credentials& credentials, InstanceValues& values,
                 DockerEngine& engine, std::filesystem::path run_folder, Logger log);

    // Within these walls instances find their folders elsewhere, and may be another user.
    void set_walls(const Walls& walls, std::string run_id);

    Task<Result<Prepared>> prepare(proto::InstanceSpec spec, OnProgress on_progress) override;
    Task<Result<Prepared>> refresh(proto::InstanceSpec spec, Prepared prepared) override;
    void clean_up(const std::string& instance) override;
    // Removes what instances of an earlier life left that are not among these.
    void keep_only(const std::set<std::string>& instances);

private:
    Loop& loop_;
    BundleStore& bundles_;
    Credentials& credentials_;
    InstanceValues& values_;
    DockerEngine& engine_;
    std::filesystem::path run_folder_;
    Logger log_;
    Walls walls_;
    std::string run_id_;
};

}  // namespace candela::host
