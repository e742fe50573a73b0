#pragma once

// What instances take, as series of the node's endpoint: each for as long as its instance runs, and
// only what the kernel tells. Control loop.

#include <map>
#include <string>
#include <vector>

#include "node/metrics.h"
#include "proto/messages.h"

namespace candela::host {

class InstanceMetrics {
public:
    explicit InstanceMetrics(Metrics& metrics) : metrics_(metrics) {}

    // All instances there are, with their usage.
    void update(const std::vector<proto::InstanceStatus>& instances);

private:
    struct One {
        proto::Usage usage;
        bool is_there = false;
        std::vector<Metrics::Sampled> series;
    };
    void add_series(One& one, const std::string& instance);

    Metrics& metrics_;
    std::map<std::string, One> instances_;  // a map: series hold addresses
};

}  // namespace candela::host
