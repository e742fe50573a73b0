#pragma once

// Following a release until it serves, was rolled back, or the time is over: shared by deploy and
// rollback.

#include <cstdint>
#include <string>

#include "base/time.h"
#include "ctl/session.h"
#include "loop/task.h"

namespace candela::ctl {

// Shows progress on stderr, live on a terminal and as a line for each change elsewhere, and the
// result on stdout. kOk, kRolledBack, kStillGoing, or kFailed.
Task<Result<int>> follow_rollout(Session& session, std::string service, uint64_t number,
                                 Duration timeout);

}  // namespace candela::ctl
