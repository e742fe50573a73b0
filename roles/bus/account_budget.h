#pragma once

// What waits for all clients of an account together. An account over its budget loses those of its
// connections that are furthest behind; no other account notices. Shared by all loops; any thread.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace candela::bus_role {

struct AccountBudget {
    // Backlogs below this do not count: every connection that is written to has one for a moment.
    static constexpr size_t kCountedFrom = 64 * 1024;

    std::atomic<int64_t> pending_bytes{0};
    std::atomic<int64_t> backlogged{0};  // connections that count

    // Whether a connection with so much waiting is one to close: as far behind as the average.
    bool is_to_blame(size_t pending) const {
        const int64_t count = backlogged.load(std::memory_order_relaxed);
        const int64_t all = pending_bytes.load(std::memory_order_relaxed);
        return count <= 1 || static_cast<int64_t>(pending) >= all / count;
    }
};

// One connection's part of it.
class BudgetShare {
public:
    // Says what waits for the connection now; true where it grew.
    bool set(AccountBudget& budget, size_t pending) {
        const size_t counted = pending >= AccountBudget::kCountedFrom ? pending : 0;
        if (counted == counted_) return false;
        const bool has_grown = counted > counted_;
        budget.pending_bytes += static_cast<int64_t>(counted) - static_cast<int64_t>(counted_);
        if (counted_ == 0) ++budget.backlogged;
        if (counted == 0) --budget.backlogged;
        counted_ = counted;
        return has_grown;
    }

private:
    size_t counted_ = 0;
};

}  // namespace candela::bus_role
