#pragma once

// The gateway as its node sees it. Lives on the control loop; hands tables to the workers and says
// in each heartbeat what all of them serve, and which instances that left still have a request in
// flight.

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "access_shipper.h"
#include "certificate_rack.h"
#include "certificate_source.h"
#include "http/response_cache.h"
#include "jwks_keeper.h"
#include "loop/flow.h"
#include "loop/per_loop.h"
#include "measured_releases.h"
#include "node/heartbeat.h"
#include "node/metrics.h"
#include "node/role.h"
#include "route_source.h"
#include "settings.h"
#include "worker.h"

namespace candela::gateway {

class Gateway final : public Role, public HeartbeatPart {
public:
    Gateway(NodeContext& context, const Config& config);
    ~Gateway() override;

    Task<Result<>> start() override;
    Task<Result<>> reload(const Config& config) override;
    Task<void> drain(MonoTime deadline) override;
    RoleStatus status() const override;
    void hand_over() override { is_handed_over_ = true; }
    void add_to_heartbeat(proto::NodeHeartbeat& beat) override;

private:
    Task<Result<>> open_all();
    Task<Result<>> open_access_log(AccessLogSettings wanted);
    Task<Result<>> ship_access_log(uint32_t lines_per_second);
    Task<Result<Address>> open(size_t index, Address address);
    Task<Result<>> open_tls();
    Task<Result<Address>> open_tls_at(size_t index, Address address);
    void on_table(RouteTablePtr table);
    void purge_cache(const RouteTable& table);
    Task<void> set_challenges(ChallengeAnswersPtr answers);
    void on_report(size_t index, const WorkerReport& report);
    void add_cache_metrics();
    void add_gauge(const char* name, const char* help,
                   std::atomic<uint64_t> http::ProxyCounters::* counter);

    NodeContext& context_;
    Settings settings_;
    const std::shared_ptr<http::ResponseCache> cache_;  // shared by all workers
    PerLoop<Worker> workers_;
    std::vector<WorkerReport> reports_;  // one for each worker
    size_t drained_count_ = 0;
    bool is_handed_over_ = false;
    std::string address_;                        // in fact bound; empty until then
    std::string tls_address_;                    // the same; empty without TLS
    std::shared_ptr<AccessLogFile> access_log_;  // null: none is kept
    std::unique_ptr<AccessShipper> shipper_;     // null: no lines are sent to the lighthouse
    // Calls from other loops find the gateway gone.
    std::shared_ptr<Gateway*> alive_;
    RouteTablePtr table_;
    MeasuredReleasesPtr measured_;  // of the table
    uint64_t measured_turn_ = 0;
    uint64_t purged_ = 0;  // the last purge that was done
    JwksKeeper jwks_;
    RouteSource source_;
    CertificateRack rack_;
    CertificateSource certificates_;
    std::vector<Metrics::Sampled> gauges_;
    Event drained_;
    HeartbeatRegistration beat_;  // last: goes first
};

}  // namespace candela::gateway
