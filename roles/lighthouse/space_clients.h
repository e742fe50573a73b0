#pragma once

// The lighthouse on the bus of each space: one client, logged in with a credential of its own that
// lasts for hours and is made anew at each connect. It moves dead letters (src/bus/dead_letters.h)
// and keeps the space's feature flags in the bucket kFlagBucket. Lives on the control loop.

#include <map>
#include <memory>
#include <string>

#include "accounts.h"
#include "node/context.h"
#include "state.h"

namespace candela::lighthouse {

inline constexpr std::string_view kFlagBucket = "candela_flags";

class SpaceClients {
public:
    static constexpr Duration kCredentialLifetime = 12h;

    SpaceClients(NodeContext& context, const Accounts& accounts, State& state);
    ~SpaceClients();

    // Keeps to the spaces that there are.
    void start();
    // Messages moved since the start.
    uint64_t moved() const;

    // Brings what the flags of the space are now to its bucket.
    void publish_flags(const std::string& space);
    // Whether the bucket has them; why not, where that is known.
    bool has_flags(const std::string& space) const;
    std::string flag_trouble(const std::string& space) const;
    // Returns as soon as it has, or the time is over.
    Task<void> wait_flags(std::string space, Duration timeout);

private:
    struct Guest;
    Task<void> follow();
    void sync();
    std::shared_ptr<Guest> make(const std::string& space);

    NodeContext& context_;
    const Accounts& accounts_;
    State& state_;
    std::map<std::string, std::shared_ptr<Guest>> guests_;
    uint64_t moved_before_ = 0;  // in spaces that are gone
    TaskGroup tasks_;            // last: ends first
};

}  // namespace candela::lighthouse
