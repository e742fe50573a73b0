#pragma once

// The cloud's certificate authority, in DIR/lighthouse/ca (ca.crt for whoever shall trust it,
// ca.key, 0600), and the certificate of this lighthouse's API, which is renewed live, well before
// it ends. Lives on the control loop.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "loop/flow.h"
#include "tls/authority.h"
#include "tls/context.h"

namespace candela::lighthouse {

class ServerCertificate {
public:
    static constexpr Duration kLifetime = 24h * 90;
    static constexpr Duration kRenewBefore = 24h * 30;
    static constexpr Duration kAuthorityLifetime = 24h * 365 * 10;

    ServerCertificate(Loop& loop, std::filesystem::path folder, std::vector<std::string> names);

    // Makes what is missing.
    Task<Result<>> open();
    const std::shared_ptr<tls::ServerContext>& context() const { return context_; }
    // New connections use a new certificate from then on, where it is time for one.
    Result<> renew_if_due();

private:
    Result<tls::KeyPair> issue();

    Loop& loop_;
    std::filesystem::path folder_;
    std::vector<std::string> names_;
    std::unique_ptr<tls::Authority> authority_;
    std::shared_ptr<tls::ServerContext> context_;
    WallTime issued_at_{};
};

}  // namespace candela::lighthouse
