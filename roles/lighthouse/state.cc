#include "state.h"

#include <algorithm>

#include "base/ids.h"

namespace candela::lighthouse {

namespace {
constexpr Duration kTick = 1s;
constexpr int kRoundsMax = 64;
constexpr size_t kUnsaidMax = 1000;
}  // namespace

// A mutation on its way; shared with the flow that asked, which may be gone before it is done.
struct State::Pending {
    explicit Pending(Work w) : work(std::move(w)) {}
    Work work;
    Result<> result;
    Completion<Done>* waiting = nullptr;
};

State::State(Loop& loop, Logger log, PlanLimits limits, HoldLimits holds)
    : loop_(loop),
      log_(std::move(log)),
      limits_(limits),
      holds_(holds),
      timer_(loop.timers(), [this] { wake_.set(); }) {}

State::~State() = default;

Task<Result<>> State::open(std::string dsn) {
    CO_TRY_ASSIGN(database_, co_await store::Database::open(loop_, dsn, migrations()));
    auto work = [now = loop_.wall()](store::Connection& db) { return load(db, now); };
    auto loaded = co_await database_->run(std::move(work));
    if (!loaded) co_return fail(loaded.error().in(dsn));
    epoch_ = loaded->epoch;
    spaces_ = std::move(loaded->spaces);
    keys_ = std::move(loaded->keys);
    wanted_ = std::move(loaded->wanted);
    seen_ = std::move(loaded->seen);
    last_event_ = loaded->last_event;
    events_.assign(loaded->events.begin(), loaded->events.end());
    begin_anew(wanted_, seen_, loop_.now());
    assignments_ = AssignmentBook(epoch_);
    routes_ = RouteBook(epoch_, holds_);
    update_routes();
    log_.info("state_loaded", {{"epoch", epoch_},
                               {"services", wanted_.services.size()},
                               {"instances", wanted_.instances.size()}});
    tasks_.spawn(serve());
    touch();
    co_return Result<>();
}

// ---- what nodes say

void State::hear(const proto::NodeHeartbeat& beat) {
    const Heard heard = lighthouse::hear(beat, assignments_.version(beat.node), wanted_, seen_,
                                         loop_.now(), loop_.wall());
    if (heard.is_ignored) return;
    usage_.note(beat, loop_.wall());
    if (heard.node_is_new) {
        say(EventRecord("node_joined", "", "", beat.node,
                        fmt::format("{}", fmt::join(beat.roles, ", "))));
    }
    if (heard.trouble_changed) {
        const bool is_over = beat.trouble.empty();
        say(EventRecord(is_over ? "node_trouble_over" : "node_trouble", "", "", beat.node,
                        beat.trouble));
    }
    if (heard.node_changed) changed_nodes_.insert(beat.node);
    changed_instances_.insert(heard.changed.begin(), heard.changed.end());
    for (const std::string& id : heard.changed) {
        const Instance& instance = wanted_.instances.at(id);
        const proto::InstanceStatus& status = seen_.instances.at(id).status;
        say(EventRecord(fmt::format("instance_is_{}", proto::to_string(status.state)),
                        instance.service.first, instance.service.second, id, status.cause));
    }
    if (heard.needs_plan) touch();
}

void State::listening(bool is_connected) {
    if (is_connected == seen_.listening_since.has_value()) return;
    seen_.listening_since.reset();
    if (is_connected) seen_.listening_since = loop_.now();
    touch();
}

proto::Assignments State::assignments_for(const proto::AssignmentsPull& pull) const {
    return assignments_.answer(pull.node, pull.version, wanted_);
}

proto::RouteTable State::routes_for(const proto::RoutesPull& pull) const {
    if (pull.version != routes_.table().version) return routes_.table();
    proto::RouteTable same;
    same.version = pull.version;
    same.epoch = epoch_;
    return same;
}

// ---- the flow

void State::touch() {
    is_touched_ = true;
    if (!is_busy_) timer_.start(Duration::zero());
}

Task<void> State::serve() {
    for (;;) {
        co_await wake_.wait();
        wake_.reset();
        is_busy_ = true;
        is_touched_ = false;
        co_await run_pending();
        co_await settle();
        co_await keep_seen();
        is_busy_ = false;
        timer_.start(is_touched_ || !pending_.empty() ? Duration::zero() : kTick);
    }
}

Task<Result<>> State::run(Work work) {
    if (pending_.size() >= kMutationsMax) {
        co_return fail(Code::kExhausted, "{} changes are waiting already", kMutationsMax);
    }
    struct Detach {
        std::shared_ptr<Pending> pending;
        explicit Detach(std::shared_ptr<Pending> p) : pending(std::move(p)) {}
        ~Detach() { pending->waiting = nullptr; }
    };
    Completion<Done> done;
    auto pending = std::make_shared<Pending>(std::move(work));
    pending->waiting = &done;
    const Detach detach(pending);
    pending_.push_back(pending);
    touch();
    co_await done;
    co_return std::move(pending->result);
}

Task<void> State::run_pending() {
    while (!pending_.empty()) {
        const std::shared_ptr<Pending> pending = pending_.front();
        pending_.pop_front();
        auto result = co_await pending->work();
        pending->result = std::move(result);
        if (pending->waiting != nullptr) pending->waiting->complete(Done());
    }
}

Task<Result<>> State::change(MakeChange make) {
    auto shared = std::make_shared<MakeChange>(std::move(make));
    Work work = [this, shared] { return commit_made(std::move(*shared)); };
    auto result = co_await run(std::move(work));
    co_return result;
}

Task<Result<>> State::commit_made(MakeChange make) {
    Result<Change> made = make();
    if (!made) co_return fail(made.error());
    auto committed = co_await commit(std::move(*made));
    co_return committed;
}

Task<Result<>> State::commit(Change change) {
    struct Written {
        Change change;
        std::vector<StoredEvent> events;
    };
    auto written = std::make_shared<Written>();
    std::vector<EventRecord> events = std::exchange(unsaid_, {});
    const size_t said_before = events.size();
    events.insert(events.end(), change.events.begin(), change.events.end());
    written->events = number(events);
    written->change = std::move(change);
    auto work = [written](store::Connection& db) {
        return write(db, written->change, written->events);
    };
    auto result = co_await database_->run(std::move(work));
    if (!result) {
        // What was to be said besides is said with the next commit.
        events.resize(std::min(said_before, kUnsaidMax));
        events.insert(events.end(), unsaid_.begin(), unsaid_.end());
        unsaid_ = std::move(events);
        co_return fail(result.error());
    }
    const std::set<std::string> nodes = apply(written->change, wanted_, seen_);
    publish(std::move(written->events));
    update_routes();
    for (const std::string& node : nodes) {
        hooks.assignments_changed(node, assignments_.mark(node));
    }
    for (const ServiceKey& service : written->change.gone_services) hooks.service_gone(service);
    if (!written->change.gone_instances.empty())
        hooks.instances_gone(written->change.gone_instances);
    std::set<std::string> spaces;
    for (const auto& [key, version] : written->change.flags) spaces.insert(key.space);
    for (const auto& [key, number] : written->change.gone_flags) spaces.insert(key.space);
    for (const std::string& space : spaces) hooks.flags_changed(space);
    co_return Result<>();
}

Task<void> State::settle() {
    for (int round = 0; round < kRoundsMax; ++round) {
        update_routes();
        Plan next = plan(wanted_, seen_, loop_.now(), limits_);
        for (const auto& [key, progress] : next.progress) {
            note_progress(wanted_.services.at(key), progress, loop_.now());
        }
        note_nodes(next);
        waiting_ = std::move(next.waiting);
        for_hand_ = std::move(next.for_hand);
        given_ids_.clear();
        auto make_id = [this](const ServiceKey& service) { return make_instance_id(service); };
        Change change = changes_of(next, wanted_, seen_, make_id, loop_.now(), loop_.wall());
        if (next.actions.empty()) {
            change = job_planner_.plan(wanted_, seen_, loop_.now(), loop_.wall(), limits_, make_id);
            if (change.empty()) co_return;
        }
        fill_last_lines(change);
        auto committed = co_await commit(std::move(change));
        if (!committed) {
            // Nothing was applied: the next tick plans the same again.
            set_trouble(committed.error().message());
            co_return;
        }
        set_trouble("");
    }
    log_.error("planner_restless", {{"rounds", kRoundsMax}});
}

Task<void> State::keep_seen() {
    struct Written {
        std::vector<Node> nodes;
        std::vector<SightingRecord> sightings;
        std::vector<StoredEvent> events;
    };
    if (changed_nodes_.empty() && changed_instances_.empty() && unsaid_.empty()) co_return;
    auto written = std::make_shared<Written>();
    for (const std::string& name : std::exchange(changed_nodes_, {})) {
        const auto node = seen_.nodes.find(name);
        if (node != seen_.nodes.end()) written->nodes.push_back(node->second);
    }
    for (const std::string& id : std::exchange(changed_instances_, {})) {
        const Sighting* sighting = seen_.find(id);
        if (sighting == nullptr) continue;
        written->sightings.push_back(SightingRecord(
            id, std::string(proto::to_string(sighting->status.state)), sighting->status.port));
    }
    written->events = number(std::exchange(unsaid_, {}));
    auto work = [written](store::Connection& db) -> Result<> {
        CANDELA_TRY(write_seen(db, written->nodes, written->sightings));
        return db.transaction([&] { return write_events(db, written->events); });
    };
    auto result = co_await database_->run(std::move(work));
    // Only the next start would miss it; hosts say it again then.
    if (!result) {
        set_trouble(result.error().message());
    } else {
        publish(std::move(written->events));
    }
}

void State::set_trouble(std::string trouble) {
    if (trouble == trouble_) return;
    if (trouble.empty()) {
        log_.info("database_works_again", {});
    } else {
        log_.error("database_failed", {{"error", trouble}});
    }
    trouble_ = std::move(trouble);
}

// ---- details

void State::update_routes() {
    routes_.update(wanted_, seen_, loop_.now(), limits_);
    if (routes_.table().version == nudged_routes_) return;
    nudged_routes_ = routes_.table().version;
    hooks.routes_changed(nudged_routes_);
}

std::vector<std::string> State::gateways_without(uint64_t version) const {
    std::vector<std::string> names;
    for (const auto& [name, node] : seen_.nodes) {
        const bool is_gateway = std::ranges::find(node.roles, "gateway") != node.roles.end();
        if (!is_gateway || is_silent(node, seen_, loop_.now(), limits_)) continue;
        if (node.routes_version < version) names.push_back(name);
    }
    return names;
}

uint64_t State::purge(proto::CachePurge purge) {
    routes_.purge(std::move(purge));
    update_routes();
    return routes_.table().version;
}

void State::note_nodes(const Plan& plan) {
    for (const auto& [name, node] : seen_.nodes) {
        const bool was_silent = silent_.contains(name);
        const bool silent = is_silent(node, seen_, loop_.now(), limits_);
        if (silent == was_silent || (silent && !seen_.listening_since)) continue;
        if (silent) {
            silent_.insert(name);
            say(EventRecord("node_silent", "", "", name,
                            std::ranges::find(plan.holding, name) == plan.holding.end()
                                ? "its instances are placed anew"
                                : "it is waited for"));
            log_.warn("node_silent", {{"node", name}});
        } else if (node.heard_at) {
            silent_.erase(name);
            say(EventRecord("node_back", "", "", name, ""));
            log_.info("node_back", {{"node", name}});
        }
    }
    std::erase_if(silent_, [this](const auto& name) { return !seen_.nodes.contains(name); });
    if (plan.holding == holding_) return;
    if (holding_.size() < plan.holding.size()) {
        const std::string names = fmt::format("{}", fmt::join(plan.holding, ", "));
        const bool was_one_heard = std::ranges::any_of(plan.holding, [this](const auto& name) {
            const auto node = seen_.nodes.find(name);
            return node != seen_.nodes.end() && node->second.heard_at.has_value();
        });
        say(EventRecord(
            "holding", "", "", "",
            fmt::format("{}; nothing is moved, waiting up to {} for {}",
                        was_one_heard
                            ? "most hosts vanished at once"
                            : "most hosts have not come back since the lighthouse started",
                        format_duration(limits_.hold_for), names)));
        log_.error("hosts_vanished", {{"waiting_for", names}});
    }
    holding_ = plan.holding;
}

void State::fill_last_lines(Change& change) const {
    for (auto& [key, release] : change.releases) {
        Failing& failing = release.failing;
        const auto instance = wanted_.instances.find(failing.instance);
        if (!failing.log_tail.empty() || instance == wanted_.instances.end()) continue;
        failing.log_tail = hooks.last_lines(instance->second);
    }
}

std::string State::make_instance_id(const ServiceKey& service) {
    for (;;) {
        std::string id = fmt::format("{}-{}", service.second, make_short_id(loop_.random()));
        if (!wanted_.instances.contains(id) && given_ids_.insert(id).second) return id;
    }
}

std::string State::waiting_for(const ServiceKey& service) const {
    const auto found = waiting_.find(service);
    return found == waiting_.end() ? "" : found->second;
}

bool State::waits_for_hand(const ServiceKey& service, const Release& release) const {
    const auto found = for_hand_.find(service);
    return found != for_hand_.end() && found->second == release.number && !release.promoted &&
           release.rollout == Rollout::kRolling;
}

// ---- events

void State::say(EventRecord event) {
    if (unsaid_.size() >= kUnsaidMax) return;
    unsaid_.push_back(std::move(event));
    if (!is_busy_ && !timer_.is_active()) touch();
}

std::vector<StoredEvent> State::number(std::vector<EventRecord> events) const {
    std::vector<StoredEvent> numbered;
    uint64_t id = last_event_;
    for (EventRecord& event : events) {
        numbered.push_back(StoredEvent(++id, loop_.wall(), std::move(event)));
    }
    return numbered;
}

void State::publish(std::vector<StoredEvent> events) {
    if (events.empty()) return;
    for (StoredEvent& event : events) {
        last_event_ = event.id;
        events_.push_back(std::move(event));
    }
    while (events_.size() > kEventsInMemory) events_.pop_front();
    event_came_.notify();
}

Task<void> State::wait_event_after(uint64_t id) {
    while (last_event_ <= id) co_await event_came_.wait();
}

// ---- spaces and keys

Task<Result<>> State::put_space(SpaceRecord space) {
    auto work = [space](store::Connection& db) { return write_space(db, space); };
    CO_TRY(co_await database_->run(std::move(work)));
    const bool is_new = !spaces_.contains(space.name);
    say(EventRecord(is_new ? "space_created" : "space_changed", space.name, "", "",
                    quota_text(space.quota)));
    spaces_[space.name] = space;
    co_return Result<>();
}

Task<Result<>> State::drop_space(std::string name) {
    auto work = [name](store::Connection& db) { return remove_space(db, name); };
    CO_TRY(co_await database_->run(std::move(work)));
    say(EventRecord("space_deleted", name, "", "", ""));
    spaces_.erase(name);
    std::erase_if(keys_, [&](const auto& entry) { return entry.second.space == name; });
    std::erase_if(wanted_.values, [&](const auto& entry) { return entry.first.space == name; });
    std::erase_if(wanted_.flags, [&](const auto& entry) { return entry.first.space == name; });
    co_return Result<>();
}

Task<Result<>> State::put_key(KeyRecord key) {
    auto work = [key](store::Connection& db) { return write_key(db, key); };
    CO_TRY(co_await database_->run(std::move(work)));
    keys_[key.public_key] = key;
    co_return Result<>();
}

Task<Result<>> State::drop_keys(std::vector<std::string> public_keys) {
    auto work = [public_keys](store::Connection& db) { return remove_keys(db, public_keys); };
    CO_TRY(co_await database_->run(std::move(work)));
    for (const std::string& key : public_keys) keys_.erase(key);
    co_return Result<>();
}

}  // namespace candela::lighthouse
