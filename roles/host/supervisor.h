#pragma once

// The instances of this host, made to follow the assignments: level-triggered, so that any order
// and any number of repetitions of the same assignments leads to the same instances. Lives on the
// control loop.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "instance.h"
#include "job_records.h"
#include "loop/flow.h"

namespace candela::host {

class Supervisor {
public:
    // `on_change`: an instance changed its state, or is gone.
    Supervisor(InstanceContext& context, JobRecords& jobs, size_t instances_max,
               std::function<void()> on_change);
    ~Supervisor();

    // What an earlier life of this host left: its names, and what is noted of each. Before apply().
    void set_found(std::map<std::string, std::string, std::less<>> notes) {
        found_ = std::move(notes);
    }
    // All that should run here; what runs and is not in it is stopped, found ones too.
    void apply(const proto::Assignments& assignments);
    void set_instances_max(size_t count) { instances_max_ = count; }

    const Instance* find(std::string_view instance) const;
    std::vector<proto::InstanceStatus> statuses() const;
    // Bundles that an instance uses or will use.
    std::set<std::string> bundles() const;
    size_t running_count() const;

    // Nothing is started or stopped any more.
    void let_go() { is_draining_ = true; }
    // Stops everything, each with its own grace time; returns when all are over, or at the
    // deadline. Nothing is started any more.
    Task<void> drain(MonoTime deadline);

    // Of a heartbeat: what all log tails together may take.
    static constexpr size_t kTailsBytesMax = 128 * 1024;

private:
    void begin_job(Instance& added, const proto::InstanceSpec& spec);
    void add(const proto::InstanceSpec& spec);
    std::string missing_walls(const proto::InstanceSpec& spec) const;
    Instance& make(const proto::InstanceSpec& spec);
    // One that was found, as `spec` wants it.
    void adopt(const proto::InstanceSpec& spec);
    void on_instance_change(Instance& instance);
    void sweep();
    bool all_over() const;

    InstanceContext& context_;
    JobRecords& jobs_;
    size_t instances_max_;
    std::function<void()> on_change_;
    std::map<std::string, std::unique_ptr<Instance>, std::less<>> instances_;
    std::set<std::string> assigned_;
    std::map<std::string, std::string, std::less<>> found_;  // and not adopted yet
    const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
    bool is_draining_ = false;
    Event over_;         // all are over
    Timer sweep_timer_;  // removes those that are over and no longer assigned
};

// Whether it can be a file's name, and a token of a bus subject.
bool is_instance_name(std::string_view name);

}  // namespace candela::host
