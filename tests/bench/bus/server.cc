// The bus role alone in a process, for benchmarks and the end-to-end tests of the protocol:
//     bench-bus-server DIR PORT
// makes an identity in DIR, serves on 127.0.0.1:PORT (0: any), prints "listening HOST:PORT" and runs until
// its standard input ends.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "auth/identity.h"
#include "base/text.h"
#include "loop/flow.h"
#include "loop/runtime.h"
#include "node/heartbeat.h"
#include "node/metrics.h"
#include "role.h"

using namespace candela;

namespace {

class NoHeartbeats final : public Heartbeats {
public:
    HeartbeatRegistration add(HeartbeatPart&) override { return {}; }
    void beat_soon() override {}
};

class StderrSink final : public LogSink {
public:
    void write(LogLevel, std::string_view line) override {
        std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
    }
};

Task<void> serve(bus_role::BusRole& role, Loop& loop) {
    const Result<> started = co_await role.start();
    if (!started) {
        std::fprintf(stderr, "%s\n", started.error().message().c_str());
        std::exit(1);
    }
    std::printf("listening %s\n", role.server()->addresses().front().to_string().c_str());
    std::fflush(stdout);
    auto wait = [] {
        char byte;
        while (::read(STDIN_FILENO, &byte, 1) > 0) {
        }
        return 0;
    };
    co_await offload(loop, std::move(wait));
    co_await role.drain(loop.now() + 1s);
}

int run(const std::filesystem::path& dir, const std::string& port) {
    Runtime runtime(1);
    UvLoop& loop = runtime.control();
    const Result<auth::Identity> identity = auth::init_identity(dir, loop.wall());
    if (!identity) {
        std::fprintf(stderr, "%s\n", identity.error().message().c_str());
        return 1;
    }
    StderrSink sink;
    NoHeartbeats heartbeats;
    Metrics metrics;
    NodeInfo info;
    info.name = "bus";
    info.data_dir = dir;
    NodeContext context{loop, runtime.loops(), info, metrics, heartbeats,
                        Logger(sink, LogLevel::kWarn), {}};
    Config config(bus_role::kRole.schema());
    if (!config.set("listen", "127.0.0.1:" + port)) return 2;
    bus_role::BusRole role(context, config);
    TaskGroup tasks;
    tasks.spawn([](bus_role::BusRole& r, UvLoop& l) -> Task<void> {
        co_await serve(r, l);
        l.stop();
    }(role, loop));
    runtime.run();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s DIR PORT\n", argv[0]);
        return 2;
    }
    return run(argv[1], argv[2]);
}
