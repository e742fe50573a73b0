// How a node hands over to another process, and takes over from one. What the two say to each other
// is in inheritance.h.

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/encoding.h"
#include "loop/move_stream.h"
#include "loop/successor.h"
#include "node/node.h"
#include "node/upgrade.h"

namespace candela {

namespace {

constexpr Duration kRequestTimeout = 5s;
constexpr size_t kAskersMax = 8;
// A new process that is not ready by then is given up.
constexpr Duration kStartTimeout = 30s;
constexpr Duration kAcceptTimeout = 10s;

// Everything that the new process gets. Kept until it runs.
struct Parcel {
    Fd channel{-1};
    std::vector<ListenerBook::Socket> listeners;
    SuccessorOptions options;
};

std::vector<std::string> environment_for(const Parcel& parcel, const std::string& notify_socket) {
    std::vector<std::string> out;
    for (char** entry = environ; *entry != nullptr; ++entry) out.emplace_back(*entry);
    out.push_back(fmt::format("{}={}", Inheritance::kVariable, parcel.channel.get()));
    if (!notify_socket.empty()) out.push_back("NOTIFY_SOCKET=" + notify_socket);
    return out;
}

}  // namespace

Result<> Node::open_door() {
    if (options_.command.empty()) return {};
    const auto path = upgrade_socket(profile_);
    auto listener = runtime_.control().listen(
        Address::unix_socket(path.string()), ListenOptions(), [this](StreamPtr stream) {
            if (helpers_.size() < kAskersMax) helpers_.spawn(answer_at_door(std::move(stream)));
        });
    if (!listener) return fail(listener.error().in("where upgrades are asked for"));
    door_ = std::move(*listener);
    return {};
}

Task<void> Node::answer_at_door(StreamPtr stream) {
    LineChannel asker(std::move(stream));
    const auto uid = asker.peer_uid();
    if (!uid || (*uid != 0 && *uid != geteuid())) {
        asker.write("failed only root and the node's own user may ask for an upgrade");
        co_return;
    }
    Loop& loop = runtime_.control();
    auto line = co_await with_timeout(loop, kRequestTimeout, "the request", asker.next());
    constexpr std::string_view kVerb = "upgrade ";
    if (!line || !line->starts_with(kVerb)) {
        asker.write("failed what is asked is: upgrade PATH");
        co_return;
    }
    std::string executable = line->substr(kVerb.size());
    const auto upgraded = co_await upgrade(std::move(executable));
    if (upgraded) {
        asker.write(fmt::format("ok {}", *upgraded));
        co_return;
    }
    const Error& error = upgraded.error();
    std::string_view word = "failed";
    if (error.code() == Code::kConflict) word = "conflict";
    if (error.code() == Code::kUnsupported) word = "unsupported";
    asker.write(fmt::format("{} {}", word, one_line(error.message())));
}

Task<void> Node::upgrade_on_signal() {
    std::string executable = options_.executable;
    const auto upgraded = co_await upgrade(std::move(executable));
    static_cast<void>(upgraded);  // it is in the log
}

Result<> Node::may_upgrade() const {
    if (options_.command.empty()) {
        return fail(Code::kUnsupported, "candela dev can't be upgraded: stop it and start it anew");
    }
    for (const RoleSpec* spec : profile_.roles) {
        if (spec->can_overlap) continue;
        return fail(Code::kUnsupported,
                    "the role {} can't run in two processes at once, so this node has to be "
                    "restarted; upgrades without a pause are for gateways and load balancers in "
                    "nodes of their own",
                    spec->name);
    }
    if (getpid() == 1) {
        return fail(Code::kUnsupported,
                    "this node is the first process of a container, which ends with it; start a "
                    "new container");
    }
    if (!started_ || stopping_) {
        return fail(Code::kConflict, "the node is {}", stopping_ ? "stopping" : "starting");
    }
    if (upgrading_ || reloading_) {
        return fail(Code::kConflict, "another {} is under way", upgrading_ ? "upgrade" : "reload");
    }
    if (predecessor_ != nullptr) {
        return fail(Code::kConflict,
                    "the process before this one still finishes what it has in flight, for at "
                    "most drain_timeout");
    }
    return {};
}

Task<Result<int>> Node::upgrade(std::string executable) {
    Result<> may = may_upgrade();
    if (!may) {
        log_.error("upgrade_refused", {{"cause", may.error()}});
        co_return fail(may.error());
    }
    log_.info("upgrade_asked", {{"executable", executable}});
    upgrading_ = true;
    auto pid = co_await hand_over_to(std::move(executable));
    upgrading_ = false;
    if (!pid) log_.error("upgrade_failed", {{"cause", pid.error()}});
    co_return pid;
}

Task<Result<int>> Node::hand_over_to(std::string executable) {
    Loop& loop = runtime_.control();
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        co_return fail_errno("the channel to the new process", errno);
    }
    Fd ours(ends[0]);
    auto parcel = std::make_shared<Parcel>();
    parcel->channel = Fd(ends[1]);
    CO_TRY_ASSIGN(parcel->listeners, runtime_.listener_book().duplicate_all());
    CO_TRY_ASSIGN(StreamPtr stream, adopt_unix_socket(loop, std::move(ours)));
    auto channel = std::make_unique<LineChannel>(std::move(stream));
    std::vector<int>& descriptors = parcel->options.descriptors;
    descriptors.push_back(parcel->channel.get());
    for (const ListenerBook::Socket& socket : parcel->listeners) {
        descriptors.push_back(socket.fd.get());
        channel->write(
            fmt::format("listener\t{}\t{}\t{}", socket.fd.get(), socket.wanted, socket.bound));
    }
    for (size_t i = 0; i < locks_.size(); ++i) {
        descriptors.push_back(locks_[i].fd());
        channel->write(fmt::format("lock\t{}\t{}", locks_[i].fd(), profile_.roles[i]->name));
    }
    channel->write(fmt::format("begin\t{}", readiness().is_ready() ? 1 : 0));
    parcel->options.executable = std::move(executable);
    parcel->options.arguments = options_.command;
    parcel->options.environment = environment_for(*parcel, manager_.socket_path());
    auto work = [parcel] { return start_successor(parcel->options); };
    const auto pid = co_await offload(loop, std::move(work));
    // Once only the new process holds its end, the channel's end tells that it has ended.
    parcel->channel = Fd(-1);
    parcel->listeners.clear();
    if (!pid) co_return fail(pid.error());
    const auto accepting = co_await let_accept(*channel);
    if (!accepting) {
        // While its end is open the process is there, and the number is its own.
        if (!channel->has_ended()) ::kill(*pid, SIGKILL);
        co_return fail(accepting.error());
    }
    end_handed_over(*pid, std::move(channel));
    co_return *pid;
}

Task<Result<>> Node::let_accept(LineChannel& channel) {
    Loop& loop = runtime_.control();
    auto line = co_await with_timeout(loop, kStartTimeout, "the new process", channel.next());
    constexpr std::string_view kFailed = "failed ";
    if (line && line->starts_with(kFailed)) {
        co_return fail(Code::kInvalid, "the new process: {}", line->substr(kFailed.size()));
    }
    if (!line && line.error().code() == Code::kUnreachable) {
        co_return fail(Code::kUnreachable,
                       "the new process has ended before it was ready; this node's log has what it "
                       "said");
    }
    if (!line) co_return fail(line.error());
    if (*line != "ready") {
        co_return fail(Code::kInvalid, "the new process has said \"{}\"", one_line(*line));
    }
    channel.write("go");
    line = co_await with_timeout(loop, kAcceptTimeout, "the new process", channel.next());
    if (!line) co_return fail(line.error());
    co_return Result<>();
}

void Node::end_handed_over(int pid, std::unique_ptr<LineChannel> channel) {
    log_.info("handed_over", {{"to", pid}});
    manager_.main_pid(pid);
    channel->write("main");
    runtime_.listener_book().give_away();
    door_.reset();
    endpoint_->stop_accepting();
    successor_ = std::move(channel);
    heartbeats_->divert([this](const proto::NodeHeartbeat& beat) {
        successor_->write("beat " + base64_encode(as_bytes(proto::encode(beat))));
    });
    for (LoadedRole& loaded : roles_) loaded.role->hand_over();
    handed_over_ = true;
    stopping_ = true;
    // Later: live() goes on to cancel the flow that we are in.
    runtime_.control().defer([this] { wake_.set(); });
}

Result<> Node::meet_predecessor() {
    if (options_.inheritance == nullptr) return {};
    Inheritance& from = *options_.inheritance;
    for (ListenerBook::Socket& socket : from.listeners) {
        runtime_.listener_book().inherit(std::move(socket));
    }
    must_be_ready_ = from.must_be_ready;
    CANDELA_TRY_ASSIGN(StreamPtr stream,
                       adopt_unix_socket(runtime_.control(), std::move(from.channel)));
    predecessor_ = std::make_unique<LineChannel>(std::move(stream));
    options_.inheritance.reset();
    return {};
}

Task<void> Node::take_over() {
    if (must_be_ready_) co_await until_ready();
    predecessor_->write("ready");
    const auto go = co_await predecessor_->next();
    if (!go || *go != "go") {
        failure_ = Error(Code::kCancelled, "the process before this one has not handed over");
        runtime_.control().defer([this] { wake_.set(); });
        co_return;
    }
    runtime_.listener_book().release();
    predecessor_->write("accepting");
    log_.info("taken_over");
    // Where the process before ends already here, nobody has told the service manager: it will see
    // its main process end and start the node anew.
    const auto is_main = co_await predecessor_->next();
    static_cast<void>(is_main);
    forwarding_ = heartbeats_->add(forwarded_);
    serve();
    for (;;) {
        const auto line = co_await predecessor_->next();
        if (!line) break;
        constexpr std::string_view kBeat = "beat ";
        if (!line->starts_with(kBeat)) continue;
        const auto bytes = base64_decode(line->substr(kBeat.size()));
        if (!bytes) continue;
        auto beat = proto::decode_node_heartbeat(*bytes);
        if (beat) forwarded_.take(std::move(*beat));
    }
    log_.info("predecessor_ended");
    forwarding_ = HeartbeatRegistration();
    forwarded_.forget();
    predecessor_.reset();
    heartbeats_->beat_soon();
}

}  // namespace candela
