#include "node/heartbeat_sender.h"

#include <algorithm>

#include "proto/messages.h"

namespace candela {

HeartbeatSender::HeartbeatSender(Loop& loop, const NodeInfo& node, std::vector<std::string> roles,
                                 Logger log)
    : loop_(loop), node_(node), roles_(std::move(roles)), log_(log), timer_(loop.timers(), [this] {
          start_timer();
          beat();
      }) {}

HeartbeatSender::~HeartbeatSender() { *alive_ = false; }

HeartbeatRegistration HeartbeatSender::add(HeartbeatPart& part) {
    parts_.push_back(&part);
    beat_soon();
    return HeartbeatRegistration([this, alive = alive_, added = &part] {
        if (*alive) std::erase(parts_, added);
    });
}

void HeartbeatSender::beat_soon() {
    if (beat_is_due_) return;
    beat_is_due_ = true;
    loop_.defer([this, alive = alive_] {
        if (!*alive) return;
        beat_is_due_ = false;
        beat();
    });
}

void HeartbeatSender::start(std::unique_ptr<bus::Client> client) {
    client_ = std::move(client);
    client_->on_state([this](bus::ClientState state) {
        if (state == bus::ClientState::kConnected) beat_soon();
    });
    start_timer();
    beat_soon();
}

// A little sooner where the loop is awake then anyway, never later.
void HeartbeatSender::start_timer() { timer_.start(kInterval - kInterval / 8, kInterval / 8); }

void HeartbeatSender::set_draining() {
    draining_ = true;
    beat_soon();
}

void HeartbeatSender::divert(std::function<void(const proto::NodeHeartbeat&)> to) {
    divert_ = std::move(to);
    beat_soon();
}

void HeartbeatSender::stop() {
    divert_ = nullptr;
    timer_.stop();
    client_.reset();
}

void HeartbeatSender::beat() {
    if (divert_ == nullptr && !is_connected()) return;
    proto::NodeHeartbeat message;
    message.node = node_.name;
    message.boot_id = node_.boot_id;
    message.version = node_.version;
    message.roles = roles_;
    message.machine_id = node_.machine_id;
    message.address = node_.address;
    message.sequence = ++sequence_;
    message.draining = draining_;
    message.labels = labels_;
    message.memory_bytes = machine_memory_bytes();
    message.cpus = machine_cpus();
    message.load_percent = load_.percent();
    for (HeartbeatPart* part : parts_) part->add_to_heartbeat(message);
    if (divert_ != nullptr) {
        divert_(message);
        return;
    }
    const auto sent =
        client_->publish(proto::heartbeat_subject(node_.name), proto::encode(message));
    if (!sent) log_.warn("heartbeat_not_sent", {{"cause", sent.error()}});
}

}  // namespace candela
