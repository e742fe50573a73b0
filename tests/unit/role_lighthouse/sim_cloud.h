#pragma once

// A whole cloud in one thread on virtual time: one lighthouse (the real planner, books and
// changes), hosts and gateways that behave as their protocol says, and a network that delays, loses
// and doubles messages, all from one seed. Invariants are checked at each step; the first that
// breaks is in `broken`.

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "assignment_book.h"
#include "base/random.h"
#include "changes.h"
#include "heard.h"
#include "job_planner.h"
#include "route_book.h"

namespace candela::lighthouse::sim {

inline constexpr Duration kStep = 100ms;
inline constexpr uint32_t kSimRetries = 2;
inline constexpr uint64_t kHostCpuMillis = 4000;
inline constexpr uint64_t kHostMemoryBytes = uint64_t{4} << 30;

// What an instance of a release does on a host; by the release's first argument.
//   good: starts and serves    slow: starts late    never: its probe never passes
//   crash: ends at once, again and again    job: ends well after a while
//   faulty: serves, and one answer in ten is an error    sluggish: serves, and takes its time
//   badjob: ends badly after a while        longjob: never ends by itself

struct SimInstance {
    proto::InstanceSpec spec;
    proto::InstanceStatus status;
    MonoTime due{};         // of the next thing that happens to it
    bool is_active = true;  // something will, by itself
};

struct SimHost {
    std::string name;
    uint64_t boot = 1;
    uint64_t sequence = 0;
    bool is_up = true;
    MonoTime back_at{};     // when it is started again
    MonoTime cut_until{};   // partitioned from the bus until then
    MonoTime slow_until{};  // it does nothing at all until then, and takes what came meanwhile
    MonoTime next_pull{};
    MonoTime next_beat{};
    uint64_t version = 0;
    std::map<std::string, SimInstance> instances;
};

struct SimGateway {
    std::string name;
    uint64_t boot = 1;
    uint64_t sequence = 0;
    MonoTime cut_until{};
    MonoTime next_pull{};
    MonoTime next_beat{};
    proto::RouteTable table;
    std::optional<MonoTime> behind_since;  // there is a newer table, and it has not come
    std::map<std::pair<ServiceKey, uint64_t>, proto::AnswerReading> counted;  // by release
    std::map<std::string, MonoTime> busy;  // instances that left its table → last request's end
};

struct Faults {
    uint64_t loss_percent = 0;
    uint64_t double_percent = 0;
    Duration delay_max = 20ms;
    bool hosts_fail = false;
    bool lighthouse_restarts = false;
    bool instances_crash = false;
    bool clocks_jump = false;  // the lighthouse's wall clock, by days
};

class SimCloud {
public:
    SimCloud(uint64_t seed, size_t hosts, size_t gateways, Faults faults);

    void deploy(const std::string& name, uint32_t instances, std::string_view behaviour,
                uint32_t surge = 1, uint32_t unavailable = 0);
    void scale_to(const std::string& name, uint32_t instances);
    void remove(const std::string& name);
    void set_mode(size_t host, NodeMode mode);  // of one that the lighthouse knows
    void open_all();
    // Of the service's rollout, where it has one that can be.
    void pause(const std::string& name, bool paused);
    void promote_by_hand(const std::string& name);
    void take_back_by_hand(const std::string& name);
    // A new version of the value that some services are restarted for, or the one that others are
    // told of.
    void change_value(bool restarts);
    void settle_people();  // nobody waits for a person any more
    void run_for(Duration duration);
    void stop_faults();
    // Empty, or why the cloud is not as it is wanted.
    std::string why_not_converged() const;
    void cut(size_t host, Duration duration) { hosts_[host].cut_until = now_ + duration; }

    // What the next deployments ask for besides: resources, placement.
    service::Manifest wish;

    const Service* service(const std::string& name) const;
    const Wanted& wanted() const { return wanted_; }
    const Seen& seen() const { return seen_; }
    std::vector<SimHost>& hosts() { return hosts_; }
    MonoTime now() const { return now_; }
    std::string broken;
    std::set<std::string> holding;
    std::vector<std::string> journal;  // the last actions, for whoever looks into a failing seed

private:
    struct Message {
        std::function<void()> deliver;
    };
    void send(MonoTime cut_from, std::function<void()> deliver);
    MonoTime next_due() const;
    void step(MonoTime end);
    void step_faults();
    void crash_one();
    void step_host(SimHost& host);
    void step_instance(SimHost& host, SimInstance& instance);
    void take(SimHost& host, const proto::Assignments& assignments);
    void step_gateway(SimGateway& gateway);
    void take(SimGateway& gateway, const proto::RouteTable& table);
    void count_answers(SimGateway& gateway);
    void beat(SimHost& host);
    void beat(SimGateway& gateway);
    void hear_beat(const proto::NodeHeartbeat& beat);
    void replan();
    void commit(const Change& change);
    void check();
    void check_before(const Action& action);
    void check_promotion(const Promote& action);
    void check_room();
    bool is_given_up(SimGateway& gateway);
    void check_values();
    void check_jobs();
    void check_tables();
    void check_rollouts();
    void restart_lighthouse();
    void break_with(std::string what);
    static std::shared_ptr<const TimeZone> utc(const std::string&) {
        return std::make_shared<const TimeZone>();
    }
    WallTime wall() const { return WallTime(now_.time_since_epoch() + wall_offset_); }

    SeededRandom random_;
    Faults faults_;
    PlanLimits limits_;
    MonoTime now_{1h};
    Duration wall_offset_{};
    uint64_t epoch_ = 1;
    Wanted wanted_;
    Seen seen_;
    AssignmentBook assignments_{1};
    RouteBook routes_{1, HoldLimits()};
    JobPlanner jobs_{utc};
    // Every time that was decided, and by which run; since when runs are active.
    std::map<JobKey, std::map<WallTime, uint64_t>> decided_;
    std::map<std::pair<JobKey, uint64_t>, MonoTime> active_since_;
    bool needs_plan_ = false;
    bool is_changed_ = true;  // something that is checked
    MonoTime next_check_{};
    MonoTime next_tick_{};
    MonoTime next_fault_{};
    std::vector<SimHost> hosts_;
    std::vector<SimGateway> gateways_;
    std::multimap<MonoTime, Message> network_;
    std::map<std::pair<ServiceKey, uint64_t>, MonoTime> rolling_since_;
    // What gateways have in fact sent to releases that were measured.
    std::map<std::pair<ServiceKey, uint64_t>, uint64_t> answered_;
    uint32_t promised_of(const std::string& name, uint32_t promised);
    std::map<std::string, std::deque<std::pair<MonoTime, uint32_t>>> promises_;
    MonoTime faults_felt_until_{};
    std::map<std::pair<std::string, std::string>, uint32_t> floors_;  // see check_tables
};

}  // namespace candela::lighthouse::sim
