#pragma once

// Gives out loopback ports to instances. A port that was given back is used again only after all
// others had their turn, so that a late connection to an old instance does not meet a new one.
// Lives on one loop.

#include <cstdint>
#include <set>

#include "base/random.h"
#include "base/result.h"

namespace candela::host {

class Ports {
public:
    // [first, last], both at least 1024 and first <= last. The starting point is drawn, so that two
    // hosts of one machine seldom meet.
    Ports(uint16_t first, uint16_t last, Random& random);

    // A port that nobody on this machine listens on. kExhausted when there is none.
    Result<uint16_t> take();
    // One that an instance of an earlier life of this host has.
    void claim(uint16_t port) { taken_.insert(port); }
    void give_back(uint16_t port) { taken_.erase(port); }

private:
    uint16_t first_;
    uint16_t last_;
    uint16_t next_;
    std::set<uint16_t> taken_;
};

// Whether a program could listen on it now, on every address.
bool is_port_free(uint16_t port);

}  // namespace candela::host
