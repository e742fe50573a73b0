#pragma once

// LogStreams over a bus client: batches are published with our inbox as the reply, where the
// lighthouse's acknowledgements come. Lives on the control loop; the client outlives it.

#include <string>

#include "bus/client.h"
#include "node/context.h"
#include "node/log_streams.h"
#include "node/metrics.h"

namespace candela {

class LogDelivery {
public:
    // `role` names the metrics: candela_<role>_log_….
    LogDelivery(NodeContext& context, bus::Client& client, LogStreamsSettings settings,
                const std::string& role);

    // Before the first channel.
    Task<Result<>> start();
    // To be called when the client has connected.
    void on_connected() { streams_.on_connected(); }
    LogStreams& streams() { return streams_; }

private:
    bool send(std::string_view subject, std::string_view payload);

    NodeContext& context_;
    bus::Client& client_;
    const std::string role_;
    std::string inbox_;
    LogStreams streams_;
    bus::Subscription acks_;
    Metrics::Sampled dropped_;
    Metrics::Sampled bytes_;
};

}  // namespace candela
