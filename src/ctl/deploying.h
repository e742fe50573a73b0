#pragma once

// A folder deployed once, as `deploy` and `watch` do it: built or packed, sent, released, followed.

#include <string>

#include "ctl/building.h"
#include "ctl/session.h"
#include "loop/task.h"

namespace candela::ctl {

struct DeployOptions {
    PrepareOptions prepare;
    Duration timeout = 5min;  // for it to serve
    bool is_followed = true;  // waits for the rollout
    std::string idempotency_key;
};

// An exit code; the service's name is told to `service` once it is known.
Task<Result<int>> deploy_folder(Session& session, DeployOptions options, std::string& service);

}  // namespace candela::ctl
