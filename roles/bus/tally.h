#pragma once

// A number that one loop counts and any thread may read. Counting costs no more than with a plain
// integer: nobody else writes it.

#include <atomic>
#include <cstdint>

namespace candela::bus_role {

class Tally {
public:
    Tally& operator+=(uint64_t count) {
        value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
        return *this;
    }
    Tally& operator-=(uint64_t count) { return *this += uint64_t{0} - count; }
    Tally& operator++() { return *this += 1; }
    Tally& operator--() { return *this -= 1; }
    operator uint64_t() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<uint64_t> value_{0};
};

}  // namespace candela::bus_role
