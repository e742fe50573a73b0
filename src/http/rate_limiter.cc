#include "http/rate_limiter.h"

#include <algorithm>
#include <bit>
#include <span>

#include "base/check.h"

namespace candela::http {

RateLimiter::RateLimiter(uint64_t requests, Duration per, uint64_t burst, KeyedHash hash,
                         size_t keys)
    : hash_(hash),
      interval_ns_(std::max<int64_t>(1, per.count() / static_cast<int64_t>(requests))),
      tolerance_ns_(interval_ns_ * static_cast<int64_t>(burst - 1)),
      slots_(std::bit_ceil(std::max(keys, kWays))) {
    CANDELA_CHECK(requests > 0 && burst > 0);
}

RateLimiter::Slot& RateLimiter::slot_of(uint64_t key, int64_t now) {
    const size_t first = (key * kWays) & (slots_.size() - 1);
    const std::span<Slot> ways(slots_.data() + first, kWays);
    for (Slot& slot : ways) {
        if (slot.key.load(std::memory_order_relaxed) == key) return slot;
    }
    // The one whose bucket is full, or nearly so, knows the least.
    Slot& chosen = *std::ranges::min_element(
        ways, {}, [](const Slot& slot) { return slot.full_at.load(std::memory_order_relaxed); });
    // Two loops that take it at once for two keys share it for a moment, which allows no more.
    chosen.key.store(key, std::memory_order_relaxed);
    chosen.full_at.store(now, std::memory_order_relaxed);
    return chosen;
}

Duration RateLimiter::take(std::string_view key, MonoTime now_time) {
    const int64_t now = now_time.time_since_epoch().count();
    Slot& slot = slot_of(hash_(key) | 1, now);  // never 0
    int64_t full_at = slot.full_at.load(std::memory_order_relaxed);
    for (;;) {
        const int64_t from = std::max(full_at, now);
        if (from - now > tolerance_ns_) return Duration(from - now - tolerance_ns_);
        if (slot.full_at.compare_exchange_weak(full_at, from + interval_ns_,
                                               std::memory_order_relaxed)) {
            return Duration(0);
        }
    }
}

}  // namespace candela::http
