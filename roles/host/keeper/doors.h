#pragma once

// How an instance with a network of its own is reached, and reaches the bus: two sockets that
// listen, one outside and one within, which the keeper makes and holds, so that who connects while
// the host is away waits in their queues; and connections to the instance, which only somebody
// within can make. The host gets descriptors of them all, and carries the bytes.

#include <cstdint>

#include "keeper/sandbox.h"

namespace candela::keeper {

struct Doors {
    int outer = -1;     // on the machine's loopback, at the instance's port
    int inner = -1;     // on its own loopback, at the port where it looks for the bus
    uint16_t port = 0;  // at which the instance listens within

    void close_all();
};

// In whichever network we are. Nonblocking, as all of these.
bool listen_on_loopback(uint32_t port, int& fd, Failure& failure);

// Answers a request for the doors, or for a connection, and closes `connection`.
void hand_out_doors(const Doors& doors, int connection);
void hand_out_connection(const Doors& doors, int connection);

}  // namespace candela::keeper
