#pragma once

// Messages of one client, account or server, from the bus's side: in is what clients publish, out
// what they are sent. Bytes are those of headers and payloads.

#include <cstdint>

namespace candela::bus_role {

struct Traffic {
    uint64_t in_messages = 0;
    uint64_t in_bytes = 0;
    uint64_t out_messages = 0;
    uint64_t out_bytes = 0;
    uint64_t slow_consumers = 0;

    Traffic& operator+=(const Traffic& other) {
        in_messages += other.in_messages;
        in_bytes += other.in_bytes;
        out_messages += other.out_messages;
        out_bytes += other.out_bytes;
        slow_consumers += other.slow_consumers;
        return *this;
    }
};

}  // namespace candela::bus_role
