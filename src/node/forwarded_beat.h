#pragma once

// What the process before this one says in its heartbeats, as long as it drains after an upgrade:
// the lighthouse hears of one node only, and must not stop an instance that still has a request in
// flight there, nor count on a table that is not served there. Lives on the control loop.

#include <algorithm>
#include <optional>
#include <utility>

#include "node/heartbeat.h"
#include "proto/messages.h"

namespace candela {

class ForwardedBeat final : public HeartbeatPart {
public:
    void take(proto::NodeHeartbeat beat) { beat_ = std::move(beat); }
    void forget() { beat_.reset(); }
    // Registered after the roles' parts, whose fields it changes.
    void add_to_heartbeat(proto::NodeHeartbeat& beat) override {
        if (!beat_) return;
        beat.routes_version = std::min(beat.routes_version, beat_->routes_version);
        std::vector<std::string>& busy = beat.busy_instances;
        busy.insert(busy.end(), beat_->busy_instances.begin(), beat_->busy_instances.end());
        std::sort(busy.begin(), busy.end());
        busy.erase(std::unique(busy.begin(), busy.end()), busy.end());
    }

private:
    std::optional<proto::NodeHeartbeat> beat_;
};

}  // namespace candela
