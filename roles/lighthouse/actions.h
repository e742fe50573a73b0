#pragma once

// What the planner says should be done next, as values. changes.h makes records of them.

#include <string>
#include <variant>

#include "model.h"

namespace candela::lighthouse {

struct CreateInstance {
    ServiceKey service;
    uint64_t release;
    std::string node;
    bool is_replacement;  // of one that its host has given up on
};
struct MarkDraining {
    std::string instance;
};
struct TellStop {
    std::string instance;
};
struct Forget {
    std::string instance;
};
struct EndRollout {
    ServiceKey service;
    uint64_t release;
    Rollout rollout;  // kDone, kRolledBack or kFailed
    uint64_t target;  // the release that should run from now on; 0: none
    std::string cause;
    std::string instance;  // the one that failed, if it was one
};
// The canary, or green, takes over.
struct Promote {
    ServiceKey service;
    uint64_t release;
    std::string why;  // the figures that speak for it; empty: none were taken
};
struct RemoveService {
    ServiceKey service;
};

using Action = std::variant<CreateInstance, MarkDraining, TellStop, Forget, EndRollout, Promote,
                            RemoveService>;
std::string to_string(const Action& action);

}  // namespace candela::lighthouse
