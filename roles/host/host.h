#pragma once

// The host role's parts, put together (role.h says what it is).

#include <memory>
#include <optional>
#include <string>

#include "assignment_puller.h"
#include "builds.h"
#include "bundle_store.h"
#include "capacity.h"
#include "credentials.h"
#include "docker_driver.h"
#include "docker_engine.h"
#include "drivers.h"
#include "host_preparer.h"
#include "instance.h"
#include "instance_metrics.h"
#include "job_records.h"
#include "node/heartbeat.h"
#include "node/log_delivery.h"
#include "node/role.h"
#include "ports.h"
#include "process_driver.h"
#include "sessions.h"
#include "supervisor.h"
#include "tunnels.h"
#include "usage_meter.h"

namespace candela::host {

class Host final : public Role,
                   private HeartbeatPart,
                   private BundleSource,
                   private CredentialIssuer,
                   private ValueSource {
public:
    Host(NodeContext& context, const Config& config);
    ~Host() override;

    Task<Result<>> start() override;
    Task<Result<>> reload(const Config& config) override;
    Task<void> drain(MonoTime deadline) override;
    RoleStatus status() const override;

    static constexpr Duration kBundleReadTimeout = 10s;
    static constexpr Duration kCredentialTimeout = 5s;
    static constexpr Duration kValuesTimeout = 5s;
    static constexpr Duration kCollectInterval = 5s;

private:
    void add_to_heartbeat(proto::NodeHeartbeat& beat) override;
    Task<Result<proto::BundleChunk>> read(proto::BundleRead request) override;
    Task<Result<proto::Credential>> issue(proto::CredentialRequest request) override;

    Task<Result<proto::ValueTable>> fetch(proto::ValuesPull pull) override;

    Task<Result<>> prepare_folder();
    Task<Result<>> build_walls(std::string run_id);
    Task<Result<>> find_instances();
    void on_assignments(const proto::Assignments& assignments);
    void on_change();
    void on_engine_change();
    void collect();

    NodeContext& context_;
    Logger log_;
    std::filesystem::path folder_;
    bool keeps_instances_;
    std::vector<std::string> sandbox_off_;
    std::string cgroup_folder_;
    WallSettings walls_;
    std::unique_ptr<bus::Client> client_;
    DockerEngine engine_;
    ProcessDriver driver_;
    DockerDriver containers_;
    Drivers drivers_;
    Ports ports_;
    LogDelivery logs_;
    BundleStore bundles_;
    Credentials credentials_;
    InstanceValues values_;
    HostPreparer preparer_;
    JobRecords jobs_;
    InstanceContext instances_;
    Supervisor supervisor_;
    Tunnels tunnels_;
    Builds builds_;
    Sessions sessions_;
    AssignmentPuller puller_;
    Timer collect_timer_;
    uint32_t instances_max_;
    Capacity capacity_;
    UsageMeter meter_;
    InstanceMetrics instance_metrics_;
    bool is_draining_ = false;
    proto::Assignments assignments_;   // the newest
    std::set<std::string> found_;      // instances of an earlier life, until the first assignments
    HeartbeatRegistration heartbeat_;  // last: goes first
};

}  // namespace candela::host
