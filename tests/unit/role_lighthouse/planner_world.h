#pragma once

// One service on a few hosts, moved by hand: what the planner's tests are written in.

#include <map>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "base/random.h"
#include "changes.h"
#include "heard.h"
#include "planner.h"
#include "route_book.h"

namespace candela::lighthouse {

using proto::InstanceState;

inline const ServiceKey kWeb("default", "web");

class World {
public:
    World() {
        seen.listening_since = now;
        host("a");
        host("b");
    }

    void host(const std::string& name) { node(name, "host"); }
    void node(const std::string& name, std::string_view role) {
        Node& entry = seen.nodes[name];
        entry.name = name;
        entry.roles = {std::string(role)};
        entry.heard_at = now;
    }
    void release(uint32_t instances, bool routed = false) {
        Release next;
        next.instances = instances;
        next.manifest.kind = kind;
        next.manifest.sandbox = level;
        next.manifest.has_network = has_network;
        next.manifest.driver = driver;
        next.manifest.stop.grace = 5s;
        next.manifest.probe.start_timeout = 20s;
        if (routed) next.manifest.routes = {service::Route("web.localhost", "/")};
        apply(start_release(wanted, kWeb, std::move(next), now, WallTime()), wanted, seen);
    }
    // Plans and applies until nothing is left; returns what was done.
    std::vector<std::string> settle() {
        std::vector<std::string> done;
        for (int round = 0; round < 20; ++round) {
            book.update(wanted, seen, now, limits);
            const Plan next = plan(wanted, seen, now, limits);
            for (const auto& [key, progress] : next.progress) {
                note_progress(wanted.services[key], progress, now);
            }
            waiting = next.waiting;
            holding = next.holding;
            if (next.actions.empty()) return done;
            for (const Action& action : next.actions) done.push_back(to_string(action));
            auto make_id = [&](const ServiceKey&) { return fmt::format("i{}", ++ids); };
            apply(changes_of(next, wanted, seen, make_id, now, WallTime()), wanted, seen);
        }
        FAIL("the planner never comes to rest");
        return done;
    }
    void is(const std::string& id, InstanceState state, uint32_t restarts = 0) {
        proto::InstanceStatus status;
        status.instance = id;
        status.state = state;
        status.port = state == InstanceState::kReady ? 9000 : 0;
        status.restarts = restarts;
        status.cause = state == InstanceState::kFailed ? "no such file" : "";
        status.log_tail = {"last words"};
        status.probe_answer = "HTTP 503";
        sight(seen.instances[id], status, now);
    }
    void pass(Duration time) {
        now += time;
        for (auto& [name, entry] : seen.nodes) {
            if (!silent.contains(name)) entry.heard_at = now;
        }
    }
    // A host with room for so much.
    void sized_host(const std::string& name, uint64_t cpu_millis, uint64_t memory_mib,
                    service::Labels labels = {}) {
        host(name);
        Node& entry = seen.nodes[name];
        entry.cpu_millis_max = cpu_millis;
        entry.memory_bytes_max = memory_mib << 20;
        entry.labels = std::move(labels);
    }
    void mode(const std::string& name, NodeMode wanted_mode) {
        apply(set_node_mode(seen.nodes.at(name), wanted_mode), wanted, seen);
    }
    // The instances that are wanted to run, by their host.
    std::map<std::string, int> running() const {
        std::map<std::string, int> counts;
        for (const auto& [id, instance] : wanted.instances) {
            if (instance.stage == Stage::kRun) ++counts[instance.node];
        }
        return counts;
    }
    const Service& web() const { return wanted.services.at(kWeb); }

    MonoTime now{1h};
    Wanted wanted;
    Seen seen;
    PlanLimits limits;
    RouteBook book{1, HoldLimits()};
    std::map<ServiceKey, std::string> waiting;
    std::vector<std::string> holding;
    std::set<std::string> silent;
    service::SandboxLevel level = service::SandboxLevel::kNone;
    bool has_network = true;
    service::Driver driver = service::Driver::kProcess;
    service::Kind kind = service::Kind::kHttp;
    int ids = 0;
};

using Lines = std::vector<std::string>;

}  // namespace candela::lighthouse
