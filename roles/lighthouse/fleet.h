#pragma once

// The planner's view of the nodes at one moment: which hosts may take an instance and how much room
// each has, which are gone or waited for, and what gateways serve. Made anew for each plan; borrows
// Wanted and Seen. Hosts are kept in the order of their load, so that placing an instance looks at
// as few as the service already uses, and not at all of them.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model.h"
#include "plan_limits.h"

namespace candela::lighthouse {

class Fleet {
public:
    Fleet(const Wanted& wanted, const Seen& seen, MonoTime now, const PlanLimits& limits);
    Fleet(const Fleet&) = delete;
    Fleet& operator=(const Fleet&) = delete;

    enum class Presence { kHere, kHeld, kLost };
    Presence presence(std::string_view node) const;
    const std::vector<std::string>& holding() const { return holding_; }
    // Whether a person wants this host to be empty.
    bool is_draining(std::string_view node) const;

    // The best host for it: as evenly as can be over the values of its `spread` label, then where
    // most of its affinities are met, where fewest of the service are, and where most room is.
    // Empty where there is none. The instance counts from then on.
    std::string place(const ServiceKey& service, const Release& release);
    bool has_room(const Release& release) const;
    // Why nothing can be placed, a reason a host: "no host has room for another instance; of 3
    // hosts, 2 lack memory (512.0 MiB wanted, at most 100.0 MiB free), 1 has no label disk=ssd".
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
        service::Labels labels;
        // What is taken, and what there is.
        uint64_t instances = 0;
        uint64_t instances_max = 0;
        uint64_t ports = 0;
        uint64_t cpu_millis = 0;
        uint64_t memory_bytes = 0;
        size_t bytes = 0;
        uint32_t load = 0;  // the share taken of what is scarcest, in 1/1000

        uint64_t cpu_free() const;
        uint64_t memory_free() const;
    };
    // By load, then by number, then by name: the emptiest first.
    struct Emptier {
        bool operator()(const Host* a, const Host* b) const;
    };
    // What one instance of a release takes.
    struct Needs {
        explicit Needs(const Release& release);
        uint64_t cpu_millis;
        uint64_t memory_bytes;
        uint64_t ports;
        size_t bytes;
    };
    enum class Refusal : uint8_t {
        kNone,
        kAway,  // silent, not heard yet, or about to end
        kCordoned,
        kDraining,
        kTrouble,  // something is wrong with it
        kInstances,
        kPorts,
        kSpecs,  // what it is told would no longer fit a message
        kCpu,
        kMemory,
        kDriver,   // it has no engine of containers
        kWalls,    // its sandbox level is too low
        kNetwork,  // it can give none a network of its own
        kLabel,
    };
    using OwnHosts = std::map<const Host*, uint32_t>;

    void find_hosts(const Wanted& wanted);
    void count_instances(const Wanted& wanted);
    void hold_in_storm(const Wanted& wanted);
    void take(Host& host, const Needs& needs) const;
    Refusal refusal(const Host& host, const Release& release, const Needs& needs) const;
    const service::LabelRule* unmet(const Host& host, const Release& release) const;
    std::string say(Refusal refusal, size_t hosts, const Needs& needs, uint64_t most_free) const;
    // The fewest instances of the release that any candidate has.
    uint32_t fewest(const OwnHosts& own) const;
    const std::vector<std::string>& values_of(const std::string& label);

    const Host* find(std::string_view node) const {
        const auto found = by_name_.find(node);
        return found == by_name_.end() ? nullptr : found->second;
    }
    Host* find(std::string_view node) {
        const auto found = by_name_.find(node);
        return found == by_name_.end() ? nullptr : found->second;
    }

    const Seen& seen_;
    MonoTime now_;
    const PlanLimits& limits_;
    std::vector<Host> hosts_;  // never grows after it is made: others point into it
    std::unordered_map<std::string_view, Host*> by_name_;
    std::set<Host*, Emptier> candidates_;
    // Of instances that are to run, release by release: those of an update are spread as if they
    // were alone, since the others go.
    std::map<std::pair<ServiceKey, uint64_t>, OwnHosts> own_;
    std::map<std::string, std::vector<std::string>> values_;  // of a label, among candidates
    std::vector<const Node*> gateways_;
    std::vector<std::string> holding_;
};

}  // namespace candela::lighthouse
