#pragma once

// How an endpoint's answers came out, for whoever judges them: cumulative, and cheap enough for
// each request. One loop writes, any thread reads. What counts is an attempt at the endpoint, not
// the client's request: one that fails here and succeeds elsewhere is a failure of this one.

#include <array>
#include <atomic>
#include <cstdint>

#include "base/latency.h"

namespace candela::http {

struct alignas(64) AnswerCounts {
    std::atomic<uint64_t> answers{0};   // and what should have been one
    std::atomic<uint64_t> failures{0};  // of them: 5xx, no connection, broken, timed out
    // From the end of the request to the head of the answer, or to the failure.
    std::array<std::atomic<uint64_t>, kLatencyBuckets> latency{};

    void add(Duration took, bool is_failure) {
        raise(answers);
        if (is_failure) raise(failures);
        raise(latency[latency_bucket(took)]);
    }
    // Of an answer that was counted when its head came.
    void add_late_failure() { raise(failures); }

private:
    static void raise(std::atomic<uint64_t>& counter) {
        counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
};

}  // namespace candela::http
