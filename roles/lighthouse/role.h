#pragma once

// The lighthouse role: the cloud's desired state, its planner, its API. It lives on the control
// loop. Its folder is DIR/lighthouse (state.db, bundles/, logs/, ca/); it mints from DIR/identity.

#include <memory>
#include <vector>

#include "acme_keeper.h"
#include "api.h"
#include "certificate_book.h"
#include "join_book.h"
#include "node/metrics.h"
#include "node/role.h"
#include "server_certificate.h"
#include "space_clients.h"
#include "tls/stream.h"

namespace candela::lighthouse {

extern const RoleSpec kRole;

const ConfigSchema& settings_schema();

struct Settings {
    Settings(const Config& config, const NodeInfo& node);

    Address listen;
    Address socket;
    std::string database;
    std::vector<std::string> names;  // of the certificate
    uint64_t bundle_bytes_max = 0;
    PlanLimits limits;
    HoldLimits holds;
    Duration audit_keep{};
    LogLimits logs;
    AcmeSettings acme;
    Duration ticket_rotation{};
    JoinSettings joins;
    std::string url;  // of the API, as other machines reach it; empty: not known
    std::filesystem::path folder;
};

class Lighthouse final : public Role {
public:
    Lighthouse(NodeContext& context, const Config& config);
    ~Lighthouse() override;

    Task<Result<>> start() override;
    Task<Result<>> reload(const Config& config) override;
    Task<void> drain(MonoTime deadline) override;
    RoleStatus status() const override;

    // For tests.
    State& state() { return state_; }
    const Address* tls_address() const;

private:
    Result<> listen();
    Task<void> maintain_forever();
    Task<void> keep_usage_forever();
    Task<void> maintain();
    void add_metrics();

    NodeContext& context_;
    const Settings settings_;
    Logger log_;
    bool is_started_ = false;
    State state_;
    Accounts accounts_;
    Credentials credentials_;
    BundleStore bundles_;
    LogStore logs_;
    Vault vault_;
    CertificateBook certificates_;
    std::unique_ptr<AcmeKeeper> acme_;  // null: no certificates are ordered
    ValueDelivery values_;
    BusSide bus_;
    Audit audit_;
    Backup backup_;
    ServerCertificate certificate_;
    JoinBook joins_;
    SpaceClients spaces_;
    Api api_;
    http::FlowServer server_;
    std::unique_ptr<tls::Acceptor> tls_acceptor_;
    std::unique_ptr<Listener> tls_listener_;
    std::unique_ptr<Listener> socket_listener_;
    std::vector<Metrics::Sampled> metrics_;
    TaskGroup tasks_;
};

}  // namespace candela::lighthouse
