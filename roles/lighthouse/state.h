#pragma once

// The lighthouse's state: what is wanted (in SQL first, then in memory), what is seen, and the one
// flow that changes it. Every mutation, the planner's and people's alike, runs in that flow, one at
// a time: SQL is written, then the model, then who must know is told. A request whose client goes
// away therefore never leaves the two apart. Lives on the control loop.

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "assignment_book.h"
#include "base/log.h"
#include "heard.h"
#include "job_planner.h"
#include "loop/time_zones.h"
#include "route_book.h"
#include "signal.h"
#include "storage.h"
#include "usage_book.h"

namespace candela::lighthouse {

// Who is told of changes; set once, before open(). Called from within the state's flow: must not
// block.
struct StateHooks {
    std::function<void(uint64_t version)> routes_changed = [](uint64_t) {};
    std::function<void(const std::string& node, uint64_t version)> assignments_changed =
        [](const std::string&, uint64_t) {};
    std::function<void(const std::vector<std::string>& instances)> instances_gone =
        [](const std::vector<std::string>&) {};
    std::function<void(const ServiceKey& service)> service_gone = [](const ServiceKey&) {};
    std::function<void(const std::string& space)> flags_changed = [](const std::string&) {};
    // What an instance last said, where its host did not send it along.
    std::function<std::vector<std::string>(const Instance&)> last_lines = [](const Instance&) {
        return std::vector<std::string>();
    };
};

class State {
public:
    static constexpr size_t kMutationsMax = 1024;
    static constexpr size_t kEventsInMemory = 2000;

    State(Loop& loop, Logger log, PlanLimits limits, HoldLimits holds);
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State();

    StateHooks hooks;

    // Opens the database, loads it, and starts to plan once listening() was called.
    Task<Result<>> open(std::string dsn);

    const Wanted& wanted() const { return wanted_; }
    const Seen& seen() const { return seen_; }
    const std::map<std::string, SpaceRecord>& spaces() const { return spaces_; }
    const std::map<std::string, KeyRecord>& keys() const { return keys_; }
    const PlanLimits& limits() const { return limits_; }
    JobPlanner& job_planner() { return job_planner_; }
    TimeZones& time_zones() { return time_zones_; }
    uint64_t epoch() const { return epoch_; }
    // Why a service does not move on, and why nothing is written; empty where all is well.
    std::string waiting_for(const ServiceKey& service) const;
    // Whether the release waits for a person to promote it.
    bool waits_for_hand(const ServiceKey& service, const Release& release) const;
    const std::string& trouble() const { return trouble_; }
    const std::vector<std::string>& holding() const { return holding_; }

    // ---- what nodes say
    void hear(const proto::NodeHeartbeat& beat);
    // Whether heartbeats can reach us.
    void listening(bool is_connected);
    proto::Assignments assignments_for(const proto::AssignmentsPull& pull) const;
    proto::RouteTable routes_for(const proto::RoutesPull& pull) const;

    // Of live gateways, those that serve an older table.
    std::vector<std::string> gateways_without(uint64_t version) const;
    // Tells gateways to drop what they keep; returns the version of the table that does.
    uint64_t purge(proto::CachePurge purge);

    // ---- what people want: each returns once it is committed, or refused
    using MakeChange = std::move_only_function<Result<Change>()>;
    // `make` is called in the flow, when nothing else is changing, and sees the model as it then
    // is.
    Task<Result<>> change(MakeChange make);
    // The same for what is not a Change; `work` must take what it needs by value.
    using Work = std::move_only_function<Task<Result<>>()>;
    Task<Result<>> run(Work work);

    // ---- within run()
    Task<Result<>> put_space(SpaceRecord space);
    Task<Result<>> drop_space(std::string name);
    Task<Result<>> put_key(KeyRecord key);
    Task<Result<>> drop_keys(std::vector<std::string> public_keys);

    // ---- events
    void say(EventRecord event);  // kept with the next commit
    const std::deque<StoredEvent>& events() const { return events_; }
    uint64_t last_event() const { return last_event_; }
    // Returns when there is an event after that one.
    Task<void> wait_event_after(uint64_t id);

    store::Database& database() { return *database_; }
    UsageBook& usage() { return usage_; }
    const UsageBook& usage() const { return usage_; }
    Loop& loop() const { return loop_; }

private:
    struct Pending;

    void touch();
    Task<void> serve();
    Task<void> run_pending();
    Task<void> settle();
    Task<Result<>> commit(Change change);
    Task<Result<>> commit_made(MakeChange make);
    Task<void> keep_seen();
    std::vector<StoredEvent> number(std::vector<EventRecord> events) const;
    void publish(std::vector<StoredEvent> events);
    void update_routes();
    void note_nodes(const Plan& plan);
    void fill_last_lines(Change& change) const;
    std::string make_instance_id(const ServiceKey& service);
    void set_trouble(std::string trouble);

    Loop& loop_;
    Logger log_;
    PlanLimits limits_;
    HoldLimits holds_;
    std::unique_ptr<store::Database> database_;

    uint64_t epoch_ = 0;
    std::map<std::string, SpaceRecord> spaces_;
    std::map<std::string, KeyRecord> keys_;
    Wanted wanted_;
    Seen seen_;
    UsageBook usage_;
    TimeZones time_zones_;
    JobPlanner job_planner_{[this](const std::string& name) { return time_zones_.find(name); }};
    AssignmentBook assignments_{0};
    RouteBook routes_{0, HoldLimits()};
    uint64_t nudged_routes_ = 0;
    std::set<std::string> given_ids_;  // by the change that is being made

    std::set<std::string> changed_nodes_;      // to be kept in SQL
    std::set<std::string> changed_instances_;  // likewise
    std::set<std::string> silent_;
    std::vector<std::string> holding_;
    std::map<ServiceKey, std::string> waiting_;
    std::map<ServiceKey, uint64_t> for_hand_;
    std::string trouble_;

    std::deque<StoredEvent> events_;
    uint64_t last_event_ = 0;
    std::vector<EventRecord> unsaid_;
    Signal event_came_;

    std::deque<std::shared_ptr<Pending>> pending_;
    bool is_busy_ = false;
    bool is_touched_ = false;
    Event wake_;
    Timer timer_;
    TaskGroup tasks_;  // last: its flow ends before what it uses
};

}  // namespace candela::lighthouse
