#pragma once

// What a role is to the node that loads it. A role lives on the node's control loop (context.loop):
// its methods are called there, and it may open listeners on the other loops itself. The node
// starts roles in the order bus, lighthouse, host, gateway, loadbalancer, drains them in reverse,
// and destroys each after its drain; the destructor stops whatever is left, without waiting.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "loop/task.h"
#include "node/context.h"

namespace candela {

struct RoleStatus {
    bool ready = false;
    std::string detail;  // one line: why it is not ready, or what it is doing
};

class Role {
public:
    virtual ~Role() = default;
    // Returns once the role has opened what it listens on; it may become ready later (status()).
    virtual Task<Result<>> start() = 0;
    // Takes on what changed in the profile without dropping a connection; an error changes nothing.
    virtual Task<Result<>> reload(const Config& config) = 0;
    // Stops accepting and finishes what is in flight, until the deadline.
    virtual Task<void> drain(MonoTime deadline) = 0;
    virtual RoleStatus status() const = 0;
    // Another process accepts on this role's listeners from now on (an upgrade); drain() follows.
    // Only of roles that can overlap.
    virtual void hand_over() {}
};

// One row of the table in roles/registry.cc. A role's face is roles/NAME/role.h, which declares
// `extern const RoleSpec kRole;` in the role's namespace; the commit that defines it adds the row.
struct RoleSpec {
    std::string_view name;     // "gateway"; also the profile's section
    std::string_view summary;  // one line for help texts
    // The keys of the role's section, with types, defaults and help; the profile check uses it.
    const ConfigSchema& (*schema)();
    // Checks that no schema can express. Problems are added to the list with their positions.
    void (*check)(const Config& config, ConfigProblems& problems);
    // The context outlives the role; the config is there during the call only.
    std::unique_ptr<Role> (*create)(NodeContext& context, const Config& config);
    // Lines of TOML for the role's section under `candela dev`, where the defaults don't do. Every
    // address on loopback, default or not, is moved by --port-offset then.
    std::string_view dev_profile = {};
    // Two processes may run the role in one data folder for a while, so that an upgrade can hand
    // over from one to the other.
    bool can_overlap = false;
};

}  // namespace candela
