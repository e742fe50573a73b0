#pragma once

// The numbers of one service, shared by all workers: series are found once, then counted without a
// lock.

#include <array>
#include <string>

#include "http/proxy.h"
#include "node/metrics.h"

namespace candela::gateway {

class ServiceMetrics {
public:
    ServiceMetrics(Metrics& metrics, const std::string& service);

    void on_done(const http::ProxyRecord& record);
    // Adds what the upstream has counted since the last call.
    void take_over(const http::UpstreamCounters& counters);

private:
    struct Followed {
        Counter* counter;
        uint64_t seen = 0;
        void follow(uint64_t value) {
            if (value > seen) counter->add(value - seen);
            seen = value;
        }
    };
    std::array<Counter*, 6> requests_;  // by status / 100; 0: the client went away
    Counter* cache_counter(http::CacheResult result);

    Metrics& metrics_;
    const std::string service_;
    Histogram* seconds_;
    // By CacheResult; made when the first is counted.
    std::array<Counter*, 6> cached_{};
    Counter* received_bytes_;
    Counter* sent_bytes_;
    Followed connects_, connect_failures_, retries_, holds_, hold_failures_;
};

}  // namespace candela::gateway
