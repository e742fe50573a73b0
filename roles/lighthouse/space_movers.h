#pragma once

// One mover of dead letters in each space (src/bus/dead_letters.h), logged in with a credential of
// its own that lasts for hours and is made anew at each connect. Lives on the control loop.

#include <map>
#include <memory>
#include <string>

#include "accounts.h"
#include "node/context.h"

namespace candela::lighthouse {

class SpaceMovers {
public:
    static constexpr Duration kCredentialLifetime = 12h;

    SpaceMovers(NodeContext& context, const Accounts& accounts);
    ~SpaceMovers();

    // Keeps to the spaces that there are.
    void start();
    // Messages moved since the start.
    uint64_t moved() const;

private:
    struct Mover;
    Task<void> follow();
    void sync();

    NodeContext& context_;
    const Accounts& accounts_;
    std::map<std::string, std::unique_ptr<Mover>> movers_;
    uint64_t moved_before_ = 0;  // by movers of spaces that are gone
    TaskGroup tasks_;            // last: ends first
};

}  // namespace candela::lighthouse
