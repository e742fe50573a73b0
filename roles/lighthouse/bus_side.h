#pragma once

// The lighthouse on the bus (docs/architecture.md "Between nodes"): takes heartbeats and logs,
// answers pulls, publishes nudges, and tells the bus of accounts by $SYS.REQ.CLAIMS.UPDATE, until
// it has them. Lives on the control loop.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "accounts.h"
#include "bundle_store.h"
#include "bus/client.h"
#include "bus/tunnel.h"
#include "certificate_book.h"
#include "credentials.h"
#include "log_store.h"
#include "signal.h"
#include "state.h"
#include "value_delivery.h"

namespace candela::lighthouse {

class BusSide {
public:
    static constexpr size_t kRequestsMax =
        256;  // that wait for disk or SQL; then nodes must ask again

    BusSide(State& state, Accounts& accounts, Credentials& credentials, BundleStore& bundles,
            LogStore& logs, CertificateBook& certificates, ValueDelivery& values,
            std::unique_ptr<bus::Client> client, std::unique_ptr<bus::Client> system, Logger log);

    Result<> start();
    bool is_connected() const { return client_->is_connected(); }
    // Empty, or why the bus is not reached.
    const std::string& trouble() const { return client_->last_error(); }
    size_t accounts_to_push() const { return to_push_.size(); }
    // A byte stream to a host (bus/tunnel.h).
    Task<Result<StreamPtr>> open_tunnel(std::string subject, std::string target, Duration timeout);
    // Returns once the bus has every account that changed up to now, or after the time given.
    Task<void> wait_pushed(Duration timeout);

private:
    void on_heartbeat(const bus::MessageView& message);
    void on_assignments(const bus::MessageView& message);
    void on_routes(const bus::MessageView& message);
    void on_certificates(const bus::MessageView& message);
    void on_bundle(const bus::MessageView& message);
    void on_credential(const bus::MessageView& message);
    void on_values(const bus::MessageView& message);
    void on_logs(const bus::MessageView& message);
    Task<void> answer_bundle(proto::BundleRead read, std::string reply);
    Task<void> answer_credential(proto::CredentialRequest request, std::string reply);
    Task<void> answer_values(proto::ValuesPull pull, std::string reply);
    void publish(std::string_view subject, std::string_view payload);
    void push_all();
    Task<void> push_forever();
    Task<Result<>> push(std::string jwt);
    Task<Result<>> all_pushed();

    State& state_;
    Accounts& accounts_;
    Credentials& credentials_;
    BundleStore& bundles_;
    LogStore& logs_;
    CertificateBook& certificates_;
    ValueDelivery& values_;
    Logger log_;
    std::map<std::string, std::string> to_push_;  // account's name → JWT
    Event has_push_;
    Signal pushed_;
    std::unique_ptr<bus::Client> client_;
    std::unique_ptr<bus::Client> system_;
    std::vector<bus::Subscription> subscriptions_;
    TaskGroup requests_;
    TaskGroup tasks_;
};

}  // namespace candela::lighthouse
