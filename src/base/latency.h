#pragma once

// The buckets of a latency histogram: four an octave from 256 µs to 67 s, the first below and the
// last above, so that a time is known to within a quarter. Pure; the same on all machines, as
// buckets travel between nodes by their number.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace candela {

inline constexpr size_t kLatencyBuckets = 74;

// Where a bucket begins; it ends where the next one does.
constexpr Duration latency_bucket_begin(size_t bucket) {
    if (bucket == 0) return Duration::zero();
    const size_t octave = (bucket - 1) / 4;
    const auto quarters = static_cast<int64_t>(4 + (bucket - 1) % 4);
    return std::chrono::microseconds(quarters << (octave + 6));
}

constexpr size_t latency_bucket(Duration time) {
    constexpr int64_t kFirst = 256;
    const int64_t micros = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
    if (micros < kFirst) return 0;
    const auto bits = static_cast<size_t>(std::bit_width(static_cast<uint64_t>(micros)));
    const size_t octave = bits - 9;
    const auto quarter = static_cast<size_t>(micros >> (octave + 6)) & 3;
    return std::min(1 + octave * 4 + quarter, kLatencyBuckets - 1);
}

}  // namespace candela
