#pragma once

// One running node: reads nothing but its Profile, starts the roles in order, serves the node's
// endpoint, sends heartbeats, and on SIGTERM or SIGINT drains in reverse order. Everything of it
// lives on the control loop, which is the thread that calls run().

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "loop/file.h"
#include "loop/flow.h"
#include "loop/log_writer.h"
#include "loop/process.h"
#include "loop/runtime.h"
#include "node/endpoint.h"
#include "node/forwarded_beat.h"
#include "node/heartbeat_sender.h"
#include "node/inheritance.h"
#include "node/join.h"
#include "node/line_channel.h"
#include "node/metrics.h"
#include "node/notify.h"
#include "node/profile.h"

namespace candela {

// What `candela node` and `candela dev` end with.
enum class NodeExit { kOk = 0, kFailed = 1, kProfile = 2, kConflict = 5 };

struct NodeOptions {
    bool is_dev = false;
    // Reads the profile anew for SIGHUP; blocking, of one small file. Empty: there is nothing to
    // reload.
    std::function<Result<Profile>()> reload;
    // Called once, when every role is ready for the first time.
    std::function<void(const Profile& profile, Duration took)> on_ready;
    LogLevel log_level_min = LogLevel::kDebug;  // `candela dev` keeps its terminal quiet with kWarn
    // The executable that runs and all its arguments, the name first: what an upgrade starts anew.
    // Empty: this node can't be upgraded.
    std::string executable;
    std::vector<std::string> command;
    // Of the process that this one takes over from; null: it starts by itself.
    std::unique_ptr<Inheritance> inheritance;
};

class Node {
public:
    Node(Profile profile, NodeOptions options);
    ~Node();
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    // Returns when the node has stopped. Errors are in the log (stderr).
    NodeExit run();

private:
    struct LoadedRole {
        const RoleSpec* spec;
        std::unique_ptr<NodeContext> context;
        std::unique_ptr<Role> role;
        bool started = false;
    };

    Result<> prepare_data_dir();
    Result<> watch_signals();
    Task<void> live();  // the whole life, from start to stop
    Task<Result<>> start_roles();
    Task<void> start_flow();
    Task<void> watch_readiness();
    Task<void> drain_flow(MonoTime deadline);
    Task<void> leave_loops();
    Task<void> reload_flow();
    Task<void> use_renewed();
    void end_reload();

    // An upgrade (node_upgrade.cc), seen from the old process…
    Result<> open_door();
    Task<void> answer_at_door(StreamPtr stream);
    Result<> may_upgrade() const;
    Task<Result<int>> upgrade(std::string executable);
    Task<void> upgrade_on_signal();
    Task<Result<int>> hand_over_to(std::string executable);
    Task<Result<>> let_accept(LineChannel& channel);
    void end_handed_over(int pid, std::unique_ptr<LineChannel> channel);
    // … and from the new one.
    Result<> meet_predecessor();
    Task<void> take_over();
    Task<void> until_ready();
    void serve();
    void on_stop_signal(const char* name);
    void unload_last();
    Readiness readiness() const;
    std::vector<Address> bus_servers() const;
    std::string creds_file(std::string_view role, std::string_view name) const;
    void check_credential(std::string_view role);
    bus::ClientTls bus_tls() const;
    std::unique_ptr<bus::Client> make_bus_client(Loop& loop, std::string_view role,
                                                 std::string_view name);
    void register_process_metrics();

    Profile profile_;
    NodeOptions options_;
    ServiceManager manager_;
    LogWriter writer_;
    Logger log_;
    Metrics metrics_;
    std::vector<Metrics::Sampled> process_metrics_;
    std::vector<FileLock> locks_;
    Runtime runtime_;
    NodeInfo info_;
    std::unique_ptr<HeartbeatSender> heartbeats_;
    std::unique_ptr<MembershipKeeper> membership_;
    std::unique_ptr<NodeEndpoint> endpoint_;
    std::vector<LoadedRole> roles_;  // in the order of their start
    std::vector<std::unique_ptr<SignalWatcher>> signals_;
    MonoTime began_{};
    bool started_ = false;
    bool stopping_ = false;
    bool reloading_ = false;
    bool reload_wanted_ = false;  // asked for meanwhile
    bool upgrading_ = false;
    bool handed_over_ = false;  // the successor accepts; this process drains
    bool stop_told_ = false;    // after that
    bool must_be_ready_ = false;
    std::unique_ptr<Listener> door_;            // where upgrades are asked for
    std::unique_ptr<LineChannel> successor_;    // once handed over
    std::unique_ptr<LineChannel> predecessor_;  // until it has ended
    ForwardedBeat forwarded_;                   // what the predecessor says
    HeartbeatRegistration forwarding_;
    NodeExit exit_ = NodeExit::kOk;
    Event wake_;    // started, failed, or told to stop
    Event finish_;  // drained, out of time, or told to stop a second time
    std::optional<Error> failure_;
    TaskGroup helpers_;  // start, readiness, reload, drain: cancelled before the roles go
    TaskGroup life_;
};

}  // namespace candela
