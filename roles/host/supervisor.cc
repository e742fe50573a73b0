#include "supervisor.h"

#include <algorithm>

#include "base/text.h"
#include "docker_container.h"
#include "instance_note.h"

namespace candela::host {

bool is_instance_name(std::string_view name) {
    return !name.empty() && name.size() <= 128 && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
}

Supervisor::Supervisor(InstanceContext& context, JobRecords& jobs, size_t instances_max,
                       std::function<void()> on_change)
    : context_(context),
      jobs_(jobs),
      instances_max_(instances_max),
      on_change_(std::move(on_change)),
      sweep_timer_(context.loop.timers(), [this] { sweep(); }) {}

Supervisor::~Supervisor() = default;

void Supervisor::apply(const proto::Assignments& assignments) {
    if (is_draining_) return;
    assigned_.clear();
    for (const proto::InstanceSpec& spec : assignments.instances) {
        if (!is_instance_name(spec.instance)) {
            context_.log.error("assignment_malformed", {{"instance", printable(spec.instance)}});
            continue;
        }
        assigned_.insert(spec.instance);
        const auto found = instances_.find(spec.instance);
        if (found != instances_.end())
            found->second->update(spec);
        else if (found_.contains(spec.instance))
            adopt(spec);
        else if (spec.desired == proto::Desired::kRun)
            add(spec);
    }
    // What was found and nobody wants any more is adopted, too: so that it ends as any other does.
    while (!found_.empty()) {
        const auto& [name, note] = *found_.begin();
        adopt(spec_of_unwanted(name, parse_instance_note(note)));
    }
    for (const auto& [name, instance] : instances_) {
        if (!assigned_.contains(name)) instance->stop();
    }
    jobs_.keep_only(assigned_);
    sweep_timer_.start(Duration(0));
}

void Supervisor::add(const proto::InstanceSpec& spec) {
    const bool is_full = running_count() >= instances_max_;
    Instance& added = make(spec);
    const auto ended = spec.kind == "job" ? jobs_.exit_code(spec.instance) : std::nullopt;
    if (ended)
        added.resume_ended(*ended);
    else if (is_full) {
        added.refuse(fmt::format("this host runs at most {} instances ([host] instances_max)",
                                 instances_max_));
    } else if (const std::string missing = missing_walls(spec); !missing.empty()) {
        added.refuse(missing);
    } else if (spec.kind == "job") {
        begin_job(added, spec);
    } else {
        added.start();
        added.update(spec);  // draining already
    }
}

// Its beginning is on the disk before it begins: whatever ends us, it is not run twice.
void Supervisor::begin_job(Instance& added, const proto::InstanceSpec& spec) {
    if (jobs_.has_begun(spec.instance)) {
        return added.refuse("its host ended while it ran");
    }
    std::weak_ptr<const bool> alive = alive_;
    jobs_.begin(spec.instance, [this, alive, spec](const Result<>& written) {
        if (alive.expired()) return;
        const auto found = instances_.find(spec.instance);
        if (found == instances_.end() || found->second->is_over()) return;
        Instance& instance = *found->second;
        if (!written) return instance.refuse(written.error().message());
        instance.start();
        instance.update(spec);
    });
}

// The lighthouse places nothing where walls are missing that it knows of; we know better.
std::string Supervisor::missing_walls(const proto::InstanceSpec& spec) const {
    const auto level = parse_level(spec.sandbox_level);
    if (!level) return level.error().message();
    if (!spec.container.image.empty()) {
        if (context_.engine == nullptr || !context_.engine->is_on()) {
            // It may come: the start says so again, and is tried again.
            return {};
        }
        const auto there = parse_level(container_level(context_.engine->info()));
        if (there && *level <= *there) return {};
        return fmt::format("it requires the sandbox level \"{}\", but containers have \"{}\" here",
                           to_string(*level), container_level(context_.engine->info()));
    }
    if (spec.has_no_network && !context_.walls.has_own_network)
        return "it is to have no network, but this host can't make one of its own for it";
    const std::string missing = missing_for(*level, context_.walls);
    if (missing.empty()) return {};
    return fmt::format("it requires the sandbox level \"{}\", but here {}", to_string(*level),
                       missing);
}

Instance& Supervisor::make(const proto::InstanceSpec& spec) {
    auto instance = std::make_unique<Instance>(
        context_, spec, [this](Instance& changed) { on_instance_change(changed); });
    Instance& made = *instance;
    instances_[spec.instance] = std::move(instance);
    return made;
}

void Supervisor::adopt(const proto::InstanceSpec& spec) {
    const auto found = found_.find(spec.instance);
    const std::string note = std::move(found->second);
    found_.erase(found);
    Instance& adopted = make(spec);
    adopted.adopt(note);
    adopted.update(spec);
}

void Supervisor::on_instance_change(Instance& instance) {
    const InstanceMachine& machine = instance.machine();
    context_.log.debug("instance_state", {{"instance", instance.spec().instance},
                                          {"state", proto::to_string(machine.state())},
                                          {"cause", machine.cause()}});
    if (instance.is_over()) {
        const bool has_run = !machine.last_exit().empty();
        const bool was_told = instance.spec().desired == proto::Desired::kStop || is_draining_ ||
                              !assigned_.contains(instance.spec().instance);
        if (instance.spec().kind == "job" && has_run && !was_told) {
            jobs_.add(instance.spec().instance, machine.exit_code());
        }
        sweep_timer_.start(Duration(0));
    }
    on_change_();
}

void Supervisor::sweep() {
    const auto gone = std::erase_if(instances_, [this](const auto& entry) {
        return entry.second->is_over() && !assigned_.contains(entry.first);
    });
    if (gone > 0) on_change_();
    // Last: who waits for it may destroy us.
    if (all_over()) over_.set();
}

const Instance* Supervisor::find(std::string_view instance) const {
    const auto found = instances_.find(instance);
    return found == instances_.end() ? nullptr : found->second.get();
}

std::vector<proto::InstanceStatus> Supervisor::statuses() const {
    std::vector<proto::InstanceStatus> statuses;
    size_t tails_bytes = 0;
    for (const auto& [name, instance] : instances_) {
        proto::InstanceStatus status = instance->status();
        for (const std::string& line : status.log_tail) tails_bytes += line.size() + 4;
        if (tails_bytes > kTailsBytesMax) status.log_tail.clear();
        statuses.push_back(std::move(status));
    }
    return statuses;
}

std::set<std::string> Supervisor::bundles() const {
    std::set<std::string> digests;
    for (const auto& [name, instance] : instances_) {
        if (!instance->is_over()) digests.insert(instance->spec().bundle);
    }
    return digests;
}

size_t Supervisor::running_count() const {
    return static_cast<size_t>(std::ranges::count_if(
        instances_, [](const auto& entry) { return !entry.second->is_over(); }));
}

bool Supervisor::all_over() const { return running_count() == 0; }

Task<void> Supervisor::drain(MonoTime deadline) {
    is_draining_ = true;
    over_.reset();
    for (const auto& [name, instance] : instances_) instance->stop();
    if (all_over()) co_return;
    Timer timer(context_.loop.timers(), [this] { over_.set(); });
    timer.start(std::max(Duration(0), deadline - context_.loop.now()));
    co_await over_.wait();
    if (!all_over()) context_.log.warn("instances_killed", {{"count", running_count()}});
}

}  // namespace candela::host
