#pragma once

// The cloud's certificate authority (node/cloud_authority.h), and what this lighthouse has from it:
// the certificate of its API, and that of its node. Both are renewed live, well before they end.
// Lives on the control loop.

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

    ServerCertificate(Loop& loop, std::filesystem::path data_dir, std::vector<std::string> names);

    // Makes what is missing.
    Task<Result<>> open();
    const std::shared_ptr<tls::ServerContext>& context() const { return context_; }
    const tls::Authority& authority() const { return *authority_; }  // once it is open
    // New connections use a new certificate from then on, where it is time for one.
    Task<Result<>> renew_if_due();

private:
    Result<tls::KeyPair> issue();
    Result<> renew_own_if_due();

    Loop& loop_;
    std::filesystem::path data_dir_;
    std::vector<std::string> names_;
    std::shared_ptr<const tls::Authority> authority_;
    std::shared_ptr<tls::ServerContext> context_;
    WallTime issued_at_{};
};

}  // namespace candela::lighthouse
