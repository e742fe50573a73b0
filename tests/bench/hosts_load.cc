// Hosts without anything to run on, for ./dev bench hosts: each has a connection of its own to a
// real bus, says every second what a host says, pulls what it should run, and says that it runs.
//     bench-hosts-load HOST:PORT CREDS COUNT
// Prints "connected" once all of them are, and lives until it is ended.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "bus/client.h"
#include "loop/flow.h"
#include "loop/uv_loop.h"
#include "proto/messages.h"

using namespace candela;

namespace {

constexpr Duration kBeatInterval = 1s;
constexpr Duration kPullInterval = 10s;  // as roles/host/assignment_puller.h
constexpr Duration kPullTimeout = 5s;
constexpr uint32_t kPort = 20000;

class FakeHost {
public:
    FakeHost(Loop& loop, const Address& bus, const std::string& creds, size_t number, size_t count)
        : loop_(loop),
          client_(loop, options_for(bus, creds), Logger()),
          timer_(loop.timers(), [this] { beat(); }) {
        beat_.node = fmt::format("host-{}", number);
        beat_.boot_id = "boot";
        beat_.version = CANDELA_VERSION;
        beat_.roles = {"host"};
        beat_.machine_id = beat_.node;
        beat_.instances_max = 1000;
        beat_.instances_complete = true;
        beat_.cpus = 8;
        beat_.memory_bytes = uint64_t{32} << 30;
        beat_.cpu_millis_max = 8000;
        beat_.memory_bytes_max = uint64_t{30} << 30;
        beat_.ports_max = 10'000;
        auto nudges = client_.subscribe(proto::nudge_subject(beat_.node),
                                        [this](const bus::MessageView&) { wake_.set(); });
        if (nudges) nudges_ = std::move(*nudges);
        // Spread over the second, as those of machines are that start when they like.
        timer_.start(kBeatInterval * static_cast<int64_t>(number) / static_cast<int64_t>(count));
        tasks_.spawn(pull_forever());
    }

    bool is_connected() const { return client_.is_connected(); }

private:
    static bus::ClientOptions options_for(const Address& bus, const std::string& creds) {
        bus::ClientOptions options;
        options.servers = {bus};
        options.credentials = bus::credentials_from_file(creds);
        return options;
    }

    void beat() {
        timer_.start(kBeatInterval);
        if (!client_.is_connected()) return;
        ++beat_.sequence;
        beat_.assignments_version = version_;
        const auto sent =
            client_.publish(proto::heartbeat_subject(beat_.node), proto::encode(beat_));
        if (!sent) std::fprintf(stderr, "%s\n", sent.error().message().c_str());
    }

    Task<void> pull_forever() {
        for (;;) {
            wake_.reset();
            if (client_.is_connected()) co_await pull();
            Timer timer(loop_.timers(), [this] { wake_.set(); });
            const Duration pause = client_.is_connected() ? kPullInterval : kBeatInterval;
            timer.start(pause);
            co_await wake_.wait();
        }
    }

    Task<void> pull() {
        proto::AssignmentsPull wanted;
        wanted.node = beat_.node;
        wanted.version = version_;
        wanted.boot_id = beat_.boot_id;
        auto reply = co_await client_.request(std::string(proto::kAssignmentsSubject),
                                              proto::encode(wanted), kPullTimeout);
        if (!reply) co_return;
        const auto assignments = proto::decode_assignments(reply->payload);
        if (!assignments || assignments->failure || assignments->version == version_) co_return;
        version_ = assignments->version;
        beat_.instances.clear();
        for (const proto::InstanceSpec& spec : assignments->instances) {
            proto::InstanceStatus status;
            status.instance = spec.instance;
            status.state = spec.desired == proto::Desired::kRun ? proto::InstanceState::kReady
                                                                : proto::InstanceState::kExited;
            status.port = kPort;
            status.epoch = assignments->epoch;
            beat_.instances.push_back(std::move(status));
        }
        beat();
    }

    Loop& loop_;
    bus::Client client_;
    proto::NodeHeartbeat beat_;
    uint64_t version_ = 0;
    bus::Subscription nudges_;
    Timer timer_;
    Event wake_;
    TaskGroup tasks_;
};

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    const long count = argc == 4 ? std::strtol(argv[3], nullptr, 10) : 0;
    const auto bus = Address::parse(argc == 4 ? argv[1] : "");
    if (count < 1 || count > 20'000 || !bus) {
        std::fprintf(stderr, "usage: bench-hosts-load HOST:PORT CREDS COUNT\n");
        return 2;
    }
    InProcessHub hub;
    UvLoop loop(hub);
    std::vector<std::unique_ptr<FakeHost>> hosts;
    constexpr Duration kConnectMax = 2min;
    for (long i = 0; i < count; ++i) {
        const auto total = static_cast<size_t>(count);
        hosts.push_back(
            std::make_unique<FakeHost>(loop, *bus, argv[2], static_cast<size_t>(i), total));
        // In groups: a bus is told of a login at a time.
        constexpr size_t kGroup = 50;
        if (hosts.size() % kGroup != 0) continue;
        if (!loop.run_until([&] { return hosts.back()->is_connected(); }, kConnectMax)) return 1;
    }
    const auto all_connected = [&] {
        for (const auto& host : hosts) {
            if (!host->is_connected()) return false;
        }
        return true;
    };
    if (!loop.run_until(all_connected, kConnectMax)) return 1;
    std::puts("connected");
    std::fflush(stdout);
    constexpr Duration kForEver = 24h * 365;
    loop.run_until([] { return false; }, kForEver);
    return 0;
}
