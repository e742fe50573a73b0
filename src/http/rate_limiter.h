#pragma once

// How often each of many keys may do something: a token bucket a key, kept as the one time at which
// it would be full again (GCRA, ITU-T I.371). The keys live in a table of fixed size that all loops
// share: memory is bounded, taking costs an atomic exchange and no lock. Where a table is full of
// busy keys, the one that is nearest to a full bucket is forgotten. Any thread.

#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/keyed_hash.h"
#include "base/time.h"

namespace candela::http {

class RateLimiter {
public:
    static constexpr size_t kKeys = size_t{1} << 15;  // 512 KiB

    // So many in `per`, and `burst` (at least 1) at once.
    RateLimiter(uint64_t requests, Duration per, uint64_t burst, KeyedHash hash,
                size_t keys = kKeys);

    // Zero, and one is taken; or how long until the key may try again.
    Duration take(std::string_view key, MonoTime now);

private:
    // Both 0: free.
    struct Slot {
        std::atomic<uint64_t> key{0};
        std::atomic<int64_t> full_at{0};  // ns: when the bucket would be full
    };
    static constexpr size_t kWays = 4;  // slots that a key may be in: one cache line

    Slot& slot_of(uint64_t key, int64_t now);

    const KeyedHash hash_;
    const int64_t interval_ns_;   // that a token takes to come back
    const int64_t tolerance_ns_;  // of the burst
    std::vector<Slot> slots_;
};

}  // namespace candela::http
