#include "node/node.h"

#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/ids.h"
#include "bus/client.h"
#include "node/credential_check.h"
#include "node/machine.h"

namespace candela {

namespace {

// journald sets JOURNAL_STREAM for what it reads (systemd.exec(5)).
LogWriter::Format log_format() {
    return std::getenv("JOURNAL_STREAM") != nullptr ? LogWriter::Format::kJournal
                                                    : LogWriter::Format::kPlain;
}

// How long after its deadline a drain that does not end is cut off.
constexpr Duration kDrainSlack = 2s;

}  // namespace

Node::Node(Profile profile, NodeOptions options)
    : profile_(std::move(profile)),
      options_(std::move(options)),
      manager_(ServiceManager::from_environment()),
      writer_(STDERR_FILENO, log_format()),
      log_(writer_, std::max(profile_.log_level, options_.log_level_min)),
      runtime_(profile_.workers) {
    SeededRandom random = system_seeded_random();
    info_.name = profile_.name;
    info_.version = CANDELA_VERSION;
    info_.boot_id = make_id(random);
    info_.machine_id = machine_id();
    info_.address = profile_.address;
    info_.data_dir = profile_.data_dir;
    info_.is_dev = options_.is_dev;
    std::vector<std::string> names;
    for (const RoleSpec* spec : profile_.roles) names.emplace_back(spec->name);
    heartbeats_ = std::make_unique<HeartbeatSender>(runtime_.control(), info_, std::move(names),
                                                    log_.with({{"part", "heartbeat"}}));
    heartbeats_->set_labels(profile_.labels);
}

Node::~Node() = default;

NodeExit Node::run() {
    Loop& loop = runtime_.control();
    began_ = loop.now();
    std::signal(SIGPIPE, SIG_IGN);
    raise_open_files_limit();
    if (const auto prepared = prepare_data_dir(); !prepared) {
        log_.error("node_not_started", {{"cause", prepared.error()}});
        if (options_.inheritance) options_.inheritance->tell_failure(prepared.error().message());
        return prepared.error().code() == Code::kConflict ? NodeExit::kConflict : NodeExit::kFailed;
    }
    if (const auto met = meet_predecessor(); !met) {
        log_.error("node_not_started", {{"cause", met.error()}});
        return NodeExit::kFailed;
    }
    if (const auto watched = watch_signals(); !watched) {
        log_.error("node_not_started", {{"cause", watched.error()}});
        return NodeExit::kFailed;
    }
    register_process_metrics();
    loop.post([this] { life_.spawn(live()); });
    runtime_.run();
    signals_.clear();
    return exit_;
}

// One lock a role: processes of one machine may share a data folder, but not a role's part of it.
Result<> Node::prepare_data_dir() {
    CANDELA_TRY(make_directories(profile_.data_dir, 0700));
    for (const RoleSpec* spec : profile_.roles) {
        if (options_.inheritance != nullptr) {
            const auto found = options_.inheritance->locks.find(spec->name);
            if (found != options_.inheritance->locks.end()) {
                locks_.push_back(FileLock::inherited(found->second.release()));
                continue;
            }
        }
        const auto path = profile_.data_dir / fmt::format(".{}.lock", spec->name);
        auto lock = FileLock::acquire(path);
        if (!lock) {
            if (lock.error().code() != Code::kConflict) return fail(lock.error());
            return fail(Code::kConflict,
                        "another candela already runs the role {} in {}; stop it, or "
                        "choose another folder",
                        spec->name, profile_.data_dir.string());
        }
        locks_.push_back(std::move(*lock));
    }
    return {};
}

Result<> Node::watch_signals() {
    struct Row {
        int number;
        const char* name;
    };
    for (const Row row : {Row{SIGTERM, "SIGTERM"}, Row{SIGINT, "SIGINT"}}) {
        CANDELA_TRY_ASSIGN(auto watcher,
                           SignalWatcher::watch(runtime_.control(), row.number,
                                                [this, row] { on_stop_signal(row.name); }));
        signals_.push_back(std::move(watcher));
    }
    CANDELA_TRY_ASSIGN(auto watcher, SignalWatcher::watch(runtime_.control(), SIGHUP, [this] {
                           if (reloading_)
                               reload_wanted_ = true;
                           else
                               helpers_.spawn(reload_flow());
                       }));
    signals_.push_back(std::move(watcher));
    CANDELA_TRY_ASSIGN(auto upgrades, SignalWatcher::watch(runtime_.control(), SIGUSR2, [this] {
                           helpers_.spawn(upgrade_on_signal());
                       }));
    signals_.push_back(std::move(upgrades));
    return {};
}

void Node::on_stop_signal(const char* name) {
    if (handed_over_ && !std::exchange(stop_told_, true)) return;  // it drains already
    if (stopping_) {
        log_.warn("stop_at_once", {{"signal", name}});
        exit_ = NodeExit::kFailed;
        finish_.set();
        return;
    }
    log_.info("stop_asked", {{"signal", name}});
    stopping_ = true;
    wake_.set();
}

Task<void> Node::live() {
    helpers_.spawn(start_flow());
    co_await wake_.wait();
    if (failure_) {
        std::error_code ignored;
        const bool has_identity = std::filesystem::exists(info_.data_dir / "identity", ignored);
        const std::string remedy = fmt::format(
            "candela init --data-dir {} (once in a cloud; docs/install.md says which of its files other "
            "machines need)",
            info_.data_dir.string());
        log_.error("node_not_started", {{"cause", *failure_}});
        if (!has_identity) log_.error("identity_missing", {{"try", remedy}});
        if (predecessor_) predecessor_->write("failed " + one_line(failure_->message()));
        exit_ = NodeExit::kFailed;
    }
    while (!stopping_ && !failure_) {
        wake_.reset();
        co_await wake_.wait();
    }
    stopping_ = true;
    if (!handed_over_) manager_.stopping("draining");
    // Only a reload, the start or the readiness watch can be under way: none may go on beside the
    // drain.
    helpers_.cancel();
    membership_.reset();
    door_.reset();
    if (!handed_over_) heartbeats_->set_draining();
    Loop& loop = runtime_.control();
    const MonoTime deadline = loop.now() + profile_.drain_timeout;
    Timer limit(loop.timers(), [this] {
        log_.warn("drain_cut_off", {{"after", profile_.drain_timeout}});
        finish_.set();
    });
    limit.start(profile_.drain_timeout + kDrainSlack);
    helpers_.spawn(drain_flow(deadline));
    co_await finish_.wait();
    helpers_.cancel();
    while (!roles_.empty()) unload_last();
    heartbeats_->stop();
    endpoint_.reset();
    co_await leave_loops();
    log_.info("node_stopped");
    runtime_.stop();
}

Task<void> Node::start_flow() {
    auto started = co_await start_roles();
    if (!started) failure_ = started.error();
    started_ = started.has_value();
    if (started_) {
        log_.info("node_started", {{"node", info_.name},
                                   {"version", info_.version},
                                   {"workers", profile_.workers},
                                   {"endpoint", endpoint_->address().to_string()},
                                   {"took", runtime_.control().now() - began_}});
        if (predecessor_ != nullptr) {
            helpers_.spawn(take_over());
        } else {
            serve();
        }
    }
    // Later, not now: live() goes on to cancel this very flow.
    runtime_.control().defer([this] { wake_.set(); });
}

Task<Result<>> Node::start_roles() {
    CO_TRY_ASSIGN(endpoint_, NodeEndpoint::open(runtime_.control(), profile_.endpoint, info_.name,
                                                metrics_, std::bind_front(&Node::readiness, this),
                                                log_.with({{"part", "endpoint"}})));
    // Before the roles read any of the files that it keeps.
    membership_ = std::make_unique<MembershipKeeper>(runtime_.control(), info_.data_dir,
                                                     log_.with({{"part", "membership"}}), [this] {
                                                         if (reloading_)
                                                             reload_wanted_ = true;
                                                         else
                                                             helpers_.spawn(use_renewed());
                                                     });
    for (const RoleSpec* spec : profile_.roles) {
        const std::string role_name(spec->name);
        roles_.emplace_back();
        LoadedRole& loaded = roles_.back();
        loaded.spec = spec;
        loaded.context.reset(new NodeContext{runtime_.control(), runtime_.loops(), info_, metrics_,
                                             *heartbeats_, log_.with({{"role", role_name}}),
                                             [this, role_name](Loop& loop, std::string_view name) {
                                                 return make_bus_client(loop, role_name, name);
                                             },
                                             bus_servers(), bus_tls()});
        check_credential(role_name);
        loaded.role = spec->create(*loaded.context, profile_.config.table(spec->name));
        Role& role = *loaded.role;
        auto started = co_await role.start();
        if (!started) co_return fail(started.error().in(fmt::format("role {}", role_name)));
        roles_.back().started = true;
    }
    co_return open_door();
}

// From now on this process is the node: to the lighthouse, and to the service manager.
void Node::serve() {
    // Any role may send heartbeats; the last one's credential exists wherever this node can log in.
    const std::string_view last = profile_.roles.back()->name;
    heartbeats_->start(make_bus_client(runtime_.control(), last, last));
    membership_->start();
    manager_.ready(readiness().summary());
    helpers_.spawn(watch_readiness());
}

// The bus refuses what a credential lacks, and nobody would know why.
void Node::check_credential(std::string_view role) {
    const std::string file = creds_file(role, role);
    const auto lacking = lacking_permissions(file, role, info_.name);
    // What can't be read is told by whoever logs in with it.
    if (!lacking || lacking->empty()) return;
    log_.warn("credential_outdated", {{"role", role},
                                      {"file", file},
                                      {"lacks", fmt::format("{}", fmt::join(*lacking, ", "))},
                                      {"remedy", renewal_advice(file)}});
}

std::string Node::creds_file(std::string_view role, std::string_view name) const {
    const bool is_own = name == role && !profile_.bus_credentials.empty();
    return is_own
               ? profile_.bus_credentials
               : (info_.data_dir / "identity" / "creds" / fmt::format("{}.creds", name)).string();
}

std::vector<Address> Node::bus_servers() const {
    return {profile_.bus ? *profile_.bus : Address::in_process("bus")};
}

bus::ClientTls Node::bus_tls() const {
    bus::ClientTls tls = bus::client_tls_from_files(profile_.bus_tls_files);
    // A bus whose authority is named must prove who it is before anyone logs in.
    tls.is_required = !profile_.bus_tls_files.authority.empty() || profile_.bus_tls_first;
    tls.is_first = profile_.bus_tls_first;
    return tls;
}

std::unique_ptr<bus::Client> Node::make_bus_client(Loop& loop, std::string_view role,
                                                   std::string_view name) {
    bus::ClientOptions options;
    options.servers = bus_servers();
    options.tls = bus_tls();
    options.name = fmt::format("{}@{}", name, info_.name);
    const std::string file = creds_file(role, name);
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored)) {
        // Not fatal: it is looked for at each attempt, and what is on disk serves on meanwhile.
        log_.warn("credential_missing", {{"role", role}, {"file", file}});
    }
    options.credentials = bus::credentials_from_file(file);
    return std::make_unique<bus::Client>(loop, std::move(options),
                                         log_.with({{"part", "bus_client"}, {"client", name}}));
}

// Polls, because readiness is the roles' own knowledge; quickly at first, since a start takes
// milliseconds.
Task<void> Node::until_ready() {
    Loop& loop = runtime_.control();
    while (!readiness().is_ready()) {
        const Duration pause = loop.now() - began_ < 2s ? Duration(2ms) : Duration(100ms);
        co_await sleep_for(loop, pause);
    }
}

Task<void> Node::watch_readiness() {
    co_await until_ready();
    const Duration took = runtime_.control().now() - began_;
    log_.info("node_ready", {{"took", took}});
    manager_.status("ready");
    if (options_.on_ready) options_.on_ready(profile_, took);
}

Task<void> Node::drain_flow(MonoTime deadline) {
    for (auto loaded = roles_.rbegin(); loaded != roles_.rend(); ++loaded) {
        if (!loaded->started) continue;
        Role& role = *loaded->role;
        co_await role.drain(deadline);
        // We may have been resumed from deep within the role, which still has to return.
        co_await sleep_for(runtime_.control(), Duration(0));
        loaded->role.reset();
    }
    runtime_.control().defer([this] { finish_.set(); });
}

void Node::unload_last() {
    roles_.back().role.reset();
    roles_.pop_back();
}

// Roles end what they had on other loops by posting to them: returns when all of that has run.
Task<void> Node::leave_loops() {
    struct Barrier {
        Event passed;
        size_t waiting = 0;
    };
    Barrier barrier;
    Loop& control = runtime_.control();
    for (Loop* loop : runtime_.loops()) {
        ++barrier.waiting;
        loop->post([&control, &barrier] {
            control.post([&barrier] {
                if (--barrier.waiting == 0) barrier.passed.set();
            });
        });
    }
    co_await barrier.passed.wait();
}

Task<void> Node::reload_flow() {
    if (!options_.reload || !started_ || stopping_) co_return;
    reloading_ = true;
    manager_.reloading();
    auto read = co_await offload(runtime_.control(), options_.reload);
    if (!read) {
        log_.error("reload_refused", {{"cause", read.error()}});
    } else {
        profile_.config = std::move(read->config);
        profile_.drain_timeout = read->drain_timeout;
        for (LoadedRole& loaded : roles_) {
            Role& role = *loaded.role;
            auto reloaded = co_await role.reload(profile_.config.table(loaded.spec->name));
            if (!reloaded) {
                log_.error("reload_refused",
                           {{"role", loaded.spec->name}, {"cause", reloaded.error()}});
            }
        }
        log_.info("reloaded");
    }
    manager_.ready(readiness().summary());
    end_reload();
}

void Node::end_reload() {
    reloading_ = false;
    if (std::exchange(reload_wanted_, false)) helpers_.spawn(reload_flow());
}

// The profile as it was read: what has been written to it since waits for a reload.
Task<void> Node::use_renewed() {
    reloading_ = true;
    for (LoadedRole& loaded : roles_) {
        Role& role = *loaded.role;
        auto reloaded = co_await role.reload(profile_.config.table(loaded.spec->name));
        if (!reloaded) {
            log_.error("renewed_not_used",
                       {{"role", loaded.spec->name}, {"cause", reloaded.error()}});
        }
    }
    end_reload();
}

Readiness Node::readiness() const {
    Readiness out;
    out.started = started_;
    out.draining = stopping_;
    for (const RoleSpec* spec : profile_.roles) {
        RoleStatus status;
        status.detail = "not started yet";
        for (const LoadedRole& loaded : roles_) {
            if (loaded.spec == spec && loaded.role != nullptr) status = loaded.role->status();
        }
        out.roles.push_back(Readiness::Entry{std::string(spec->name), std::move(status)});
    }
    return out;
}

void Node::register_process_metrics() {
    metrics_
        .gauge("candela_build_info", "Always 1; the version is a label.",
               {{"version", info_.version}, {"node", info_.name}})
        .set(1);
    const auto add = [this](std::string_view name, std::string_view help,
                            std::function<double()> sample) {
        process_metrics_.push_back(metrics_.sampled_gauge(name, help, {}, std::move(sample)));
    };
    add("process_resident_memory_bytes", "Memory of this process that is in RAM.",
        [] { return static_cast<double>(process_usage().resident_bytes); });
    add("process_open_fds", "Open file descriptors.",
        [] { return static_cast<double>(process_usage().open_files); });
    add("process_cpu_seconds", "CPU time used since the start.",
        [] { return process_usage().cpu_seconds; });
    add("candela_node_ready", "1 while every role is ready.",
        [this] { return readiness().is_ready() ? 1.0 : 0.0; });
    for (const RoleSpec* spec : profile_.roles) {
        process_metrics_.push_back(
            metrics_.sampled_gauge("candela_role_ready", "1 while the role is ready.",
                                   {{"role", std::string(spec->name)}}, [this, spec] {
                                       for (const Readiness::Entry& entry : readiness().roles) {
                                           if (entry.role == spec->name)
                                               return entry.status.ready ? 1.0 : 0.0;
                                       }
                                       return 0.0;
                                   }));
    }
}

}  // namespace candela
