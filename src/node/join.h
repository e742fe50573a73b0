#pragma once

// Joining a cloud, and renewing what was given for it, over the lighthouse's API (POST /v1/join,
// /v1/nodes/NODE/renew). Flows of one loop; files are read and written on the pool.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "auth/join_token.h"
#include "base/log.h"
#include "http/client.h"
#include "http/url.h"
#include "loop/flow.h"
#include "node/membership.h"
#include "tls/context.h"

namespace candela {

struct JoinResult {
    Membership membership;
    std::string bus_url;
    bool trusts_authority = false;  // the bus shows a certificate of the cloud's authority
};

// Makes keys, has them admitted, and keeps what comes of it below data_dir. The roles are the
// token's. kDenied: a token that is unknown or has ended, or not the lighthouse that it is of.
// kConflict: a used token, a name that is taken, or a node that is here already.
Task<Result<JoinResult>> join_cloud(Loop& loop, auth::JoinToken token, std::string node,
                                    std::filesystem::path data_dir);

// Renews once. Works with credentials that have ended, too.
Task<Result<>> renew_membership(Loop& loop, std::filesystem::path data_dir);

// Keeps a node's credentials and certificate renewed, as long as it lives: at half of their life,
// and where that fails again and again, with pauses. Where a lighthouse or a person puts another
// certificate there, that is noticed as well.
class MembershipKeeper {
public:
    static constexpr Duration kPauseMin = 1s;
    static constexpr Duration kPauseMax = 1min;

    // `on_renewed`: the files are others than when this was made, or since the last time.
    MembershipKeeper(Loop& loop, std::filesystem::path data_dir, Logger log,
                     std::function<void()> on_renewed);

    void start();
    void stop() { tasks_.cancel(); }

private:
    Task<void> keep();
    Task<void> look();
    Task<Result<>> renew(const Result<RenewalTimes>& due);
    Task<Result<RenewalTimes>> times();

    Loop& loop_;
    std::filesystem::path data_dir_;
    Logger log_;
    std::function<void()> on_renewed_;
    std::string stamp_;  // of the certificate's file
    TaskGroup tasks_;
};

}  // namespace candela
