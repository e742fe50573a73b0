#pragma once

// The planner's view of the nodes at one moment: which hosts may take an instance, which are gone
// or waited for, and what gateways serve. Made anew for each plan; borrows Wanted and Seen.

#include <string>
#include <string_view>
#include <vector>

#include "model.h"
#include "planner.h"

namespace candela::lighthouse {

class Fleet {
public:
    Fleet(const Wanted& wanted, const Seen& seen, MonoTime now, const PlanLimits& limits);

    enum class Presence { kHere, kHeld, kLost };
    Presence presence(std::string_view node) const;
    const std::vector<std::string>& holding() const { return holding_; }

    // The host with most room for it, spreading a service over hosts; empty where there is none.
    // The instance counts from then on.
    std::string place(const ServiceKey& service, const Release& release);
    bool has_room(const Release& release) const;
    // Why no host takes it, where has_room() says so.
    std::string why_no_room(const Release& release) const;

    // Every live gateway serves a table that is at least as new as `version`.
    bool gateways_serve(uint64_t version) const;
    bool is_busy(std::string_view instance) const;

    // Time since `since`, of which only what we could have heard counts.
    Duration elapsed(MonoTime since) const;

private:
    struct Host {
        const Node* node = nullptr;
        Presence presence = Presence::kLost;
        bool is_candidate = false;
        size_t instances = 0;
        size_t instances_max = 0;
        size_t bytes = 0;
        std::map<ServiceKey, uint32_t> services;
    };
    void find_hosts(const Wanted& wanted);
    bool fits(const Host& host, const Release& release) const;
    bool has_capacity(const Host& host, const Release& release) const;

    const Seen& seen_;
    MonoTime now_;
    const PlanLimits& limits_;
    std::map<std::string, Host, std::less<>> hosts_;
    std::vector<const Node*> gateways_;
    std::vector<std::string> holding_;
};

}  // namespace candela::lighthouse
