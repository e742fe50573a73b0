#pragma once

// Sends the node's heartbeats (heartbeat.h). Lives on the control loop. Beats that can't be sent at
// once are not kept: the next one says more.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bus/client.h"
#include "loop/loop.h"
#include "loop/timers.h"
#include "node/context.h"
#include "node/heartbeat.h"
#include "node/machine.h"

namespace candela {

class HeartbeatSender final : public Heartbeats {
public:
    static constexpr Duration kInterval = 1s;

    HeartbeatSender(Loop& loop, const NodeInfo& node, std::vector<std::string> roles, Logger log);
    ~HeartbeatSender() override;

    HeartbeatRegistration add(HeartbeatPart& part) override;
    void beat_soon() override;

    // "disk=ssd"; set before start().
    void set_labels(std::vector<std::string> labels) { labels_ = std::move(labels); }
    // From now on beats go out by this client.
    void start(std::unique_ptr<bus::Client> client);
    // Says at once that this node is about to end.
    void set_draining();
    // From now on beats go to the process that took over, which speaks for both.
    void divert(std::function<void(const proto::NodeHeartbeat&)> to);
    void stop();
    bool is_connected() const { return client_ != nullptr && client_->is_connected(); }

private:
    void beat();
    void start_timer();

    Loop& loop_;
    const NodeInfo& node_;
    const std::vector<std::string> roles_;
    std::vector<std::string> labels_;
    Logger log_;
    std::unique_ptr<bus::Client> client_;
    std::function<void(const proto::NodeHeartbeat&)> divert_;
    std::vector<HeartbeatPart*> parts_;
    LoadMeter load_;
    Timer timer_;
    uint64_t sequence_ = 0;
    bool draining_ = false;
    bool beat_is_due_ = false;
    std::shared_ptr<bool> alive_ =
        std::make_shared<bool>(true);  // for what is deferred or handed out
};

}  // namespace candela
