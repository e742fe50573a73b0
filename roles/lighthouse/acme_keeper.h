#pragma once

// Keeps certificates for the hosts of routes, ordered from a certificate authority: looks which are
// lacking or due, and makes one order at a time, so that the authority is never pressed. A host
// whose order failed waits longer each time, over restarts too; an authority that can't be used
// pauses everything. Nothing else of the lighthouse waits for it. Lives on the control loop.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "acme_order.h"
#include "acme_settings.h"
#include "certificate_book.h"

namespace candela::lighthouse {

class AcmeKeeper final : public ChallengeBoard {
public:
    static constexpr Duration kLookInterval = 1s;
    static constexpr size_t kHostsMax = 1000;
    // Pauses after failures: authorities allow about five failed validations of a name an hour.
    static constexpr Duration kHostPauseMin = 1min;
    static constexpr Duration kHostPauseMax = 12h;
    static constexpr Duration kAuthorityPauseMin = 5s;
    static constexpr Duration kAuthorityPauseMax = 1h;
    static constexpr Duration kRateLimitPause = 1h;  // where the authority names none
    // For all gateways to say that they answer a challenge.
    static constexpr Duration kServedWait = 10s;

    AcmeKeeper(State& state, CertificateBook& book, const Vault& vault, AcmeSettings settings,
               Logger log);

    // Reads the CA file, the account and what is known of hosts. After the book. `allow_plain` is
    // for tests.
    Task<Result<>> open(bool allow_plain = false);
    void start();

    struct HostStatus {
        std::string host;
        bool is_failing = false;
        std::string error;
        WallTime next_at{};
    };
    // Hosts that lack a certificate, or whose renewal failed.
    std::vector<HostStatus> unsettled() const;
    size_t failing_count() const;
    const std::string& directory() const { return settings_.directory; }
    const std::string& account_url() const { return account_.url; }
    // Why the authority can't be used, and when that is tried again; empty where all is well.
    const std::string& error() const { return error_; }
    WallTime next_attempt_at() const { return next_at_; }

private:
    Task<Result<>> show(proto::Challenge challenge) override;
    void hide(const std::string& token) override;

    Task<void> run();
    void update_hosts();
    using Added = std::vector<const HeldCertificate*>;
    // Certificates that people have brought and that are still good.
    Added added() const;
    // When an order for the host is due; absent where none is wanted.
    std::optional<WallTime> due_at(const std::string& host, const Added& added) const;
    std::string next_due(WallTime now) const;
    Task<void> attempt(std::string host);
    Task<Result<>> ready_account();
    Task<Result<>> forget_account();
    Task<Result<>> order(std::string host);
    Task<void> note_failure(std::string host, Error error);
    void pause_all(const Error& error, Duration pause);
    Task<Result<>> keep(AcmeHostRow row);
    Task<Result<>> keep_progress(OrderProgress& progress);
    Task<void> clear_away();

    State& state_;
    CertificateBook& book_;
    const Vault& vault_;
    const AcmeSettings settings_;
    Logger log_;
    std::unique_ptr<AcmeClient> client_;
    AcmeAccountRow account_;
    std::map<std::string, AcmeHostRow> rows_;
    std::vector<std::string> hosts_;  // that are to have a certificate
    uint64_t hosts_of_routes_ = 0;    // the version of the routes that they are of
    std::vector<proto::Challenge> shown_;
    std::string error_;
    WallTime next_at_{};
    Duration pause_{0};
    TaskGroup tasks_;  // last: ends first
};

}  // namespace candela::lighthouse
