#pragma once

// The bus role: a NATS server in operator mode for the cloud's accounts, over TCP and, as
// Address::in_process
// ("bus"), for the roles of this process, which log in in the same way.

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "account_store.h"
#include "listening.h"
#include "loop/per_loop.h"
#include "monitoring/monitor_api.h"
#include "monitoring/monitor_http.h"
#include "node/metrics.h"
#include "node/role.h"
#include "server.h"
#include "system_api.h"

namespace candela::bus_role {

class Disk;
class JetStream;
class Store;

extern const RoleSpec kRole;

// Everything that the section [bus] of a profile says.
struct BusConfig {
    explicit BusConfig(const Config& config, const NodeInfo& node);

    ListeningConfig listening;
    std::optional<Address> monitor;
    std::filesystem::path operator_jwt;
    std::filesystem::path accounts;  // to start with
    std::filesystem::path store;     // what was learnt since
    std::filesystem::path streams;   // durable streams
    size_t loops = 1;
    ServerOptions options;
};

class BusRole final : public Role {
public:
    BusRole(NodeContext& context, const Config& config);
    ~BusRole() override;

    Task<Result<>> start() override;
    Task<Result<>> reload(const Config& config) override;
    Task<void> drain(MonoTime deadline) override;
    RoleStatus status() const override;

    // For tests: null before start().
    Server* server() { return server_; }

private:
    Result<> open(const std::vector<std::string>& accounts, const TlsFiles& tls);
    Task<Result<>> start_servers(std::string_view operator_jwt);
    Task<Result<>> listen();
    Result<> watch();
    Task<Result<>> open_streams();
    std::span<Loop* const> loops_to_use() const;
    void add_metrics();
    uint64_t sum(Tally ServerCounters::* counter) const;

    NodeContext& context_;
    BusConfig config_;
    Entrances entrances_;
    std::unique_ptr<AccountStore> store_;
    std::optional<PerLoop<Server>> servers_;
    Server* server_ = nullptr;  // the control loop's, where services are
    std::unique_ptr<SystemApi> system_api_;
    std::unique_ptr<Disk> disk_;
    std::unique_ptr<Store> streams_;
    std::unique_ptr<JetStream> jetstream_;
    std::unique_ptr<Monitor> monitor_;
    std::unique_ptr<MonitorApi> monitor_api_;
    std::unique_ptr<MonitorHttp> monitor_http_;
    std::vector<Metrics::Sampled> metrics_;
    bool is_listening_ = false;
};

}  // namespace candela::bus_role
