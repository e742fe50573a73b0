#pragma once

// What the API's JSON says, as values: the one place that knows the names of its members. Absent
// members read as empty, so that an older or newer lighthouse is understood as far as it goes. The
// shapes are those of docs/ctl-json.md.

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace candela::ctl {

struct NodeView {
    std::string name;
    std::string state;  // "ready", "silent", "cordoned", "draining"
    std::vector<std::string> roles;
    std::string version;
    std::string address;
    std::string heard_at;
    uint64_t instances = 0;
    uint64_t unfinished = 0;  // what still has to leave for a drain to be done
    uint64_t cpus = 0;
    uint64_t memory_bytes = 0;
    uint64_t load_percent = 0;
};

struct ServiceView {
    std::string space, name, kind, state;
    std::string waiting;  // why it can't go on just now: "no host has room"
    uint64_t release = 0;
    uint64_t wanted = 0;
    uint64_t ready = 0;
    std::vector<std::string> routes;
};

struct ReleaseView {
    uint64_t number = 0;
    std::string state;  // rolling, done, rolled_back, failed, superseded
    std::string cause;
    std::string waiting;
    std::string author;
    std::string created_at;
    std::string ended_at;
    std::string bundle;
    uint64_t wanted = 0;
    uint64_t ready = 0;
    uint64_t copy_of = 0;
    std::string reason;  // deploy, rollback, restart
    bool waits_for_promotion = false;
    bool paused = false;
    struct Failing {
        std::string instance, node, last_exit, probe_answer;
        std::vector<std::string> log_tail;
    } failing;

    bool is_final() const { return state != "rolling"; }
};

struct InstanceView {
    std::string id, service, node, state, cause, probe_answer, last_exit, started_at;
    uint64_t release = 0;
    uint64_t restarts = 0;
    uint64_t memory_bytes = 0;
    uint64_t port = 0;
};

NodeView node_view(const Json& json);
ServiceView service_view(const Json& json);
ReleaseView release_view(const Json& json);
InstanceView instance_view(const Json& json);

// The list below the key ("nodes", say), or the answer itself where it is a list.
const Json& list_of(const Json& answer, std::string_view key);
std::vector<std::string> string_list(const Json& object, std::string_view key);

}  // namespace candela::ctl
