#pragma once

// A node sends ONE heartbeat for all its roles (proto NodeHeartbeat): each second, and at once when
// a role asks. src/node owns the sender and fills in node, boot_id, version, roles, machine_id,
// address, sequence, draining, cpus, memory_bytes and load_percent. A role that has something to
// say implements HeartbeatPart: the host its assignments_version and instances, the gateway its
// routes_version and busy_instances. Roles that have nothing to say (bus, lighthouse, loadbalancer)
// do nothing: they are listed all the same.
//
//     class Host final : public Role, public HeartbeatPart {
//         void add_to_heartbeat(proto::NodeHeartbeat& beat) override { beat.instances = …; }
//         HeartbeatRegistration beat_ = context.heartbeats.add(*this);   // last member: goes first
//     };
//     …
//     context.heartbeats.beat_soon();   // an instance changed its state
//
// All of it lives on the control loop.

#include <functional>
#include <utility>

namespace candela {

namespace proto {
struct NodeHeartbeat;
}

class HeartbeatPart {
public:
    // Called right before each beat is sent. Sets only the fields of its own role; must not block,
    // and must not call back into Heartbeats.
    virtual void add_to_heartbeat(proto::NodeHeartbeat& beat) = 0;

protected:
    ~HeartbeatPart() = default;
};

// Ends the part's contribution when destroyed.
class HeartbeatRegistration {
public:
    HeartbeatRegistration() = default;
    explicit HeartbeatRegistration(std::move_only_function<void()> remove)
        : remove_(std::move(remove)) {}
    HeartbeatRegistration(HeartbeatRegistration&& other) noexcept
        : remove_(std::exchange(other.remove_, nullptr)) {}
    HeartbeatRegistration& operator=(HeartbeatRegistration&& other) noexcept {
        if (this != &other) {
            if (remove_) remove_();
            remove_ = std::exchange(other.remove_, nullptr);
        }
        return *this;
    }
    ~HeartbeatRegistration() {
        if (remove_) remove_();
    }

private:
    std::move_only_function<void()> remove_;
};

class Heartbeats {
public:
    virtual ~Heartbeats() = default;
    [[nodiscard]] virtual HeartbeatRegistration add(HeartbeatPart& part) = 0;
    // Sends a beat before this loop waits again; several calls in one round make one beat.
    virtual void beat_soon() = 0;
};

}  // namespace candela
