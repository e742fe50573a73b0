#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "base/text.h"
#include "loop/process.h"
#include "loop/uv_loop.h"
#include "service/static_files.h"

namespace candela::service {

namespace {

constexpr Duration kDrainMax = 30s;  // the host's grace time ends it sooner

std::string environment(const char* name, const char* fallback) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : fallback;
}

int fail_with(const Error& error) {
    fmt::print(stderr, "candela serve-static: {}\n", error.message());
    return 1;
}

Task<void> drain(http::FlowServer& server, UvLoop& loop) {
    co_await server.drain(loop.now() + kDrainMax);
    loop.stop();
}

}  // namespace

int run_static_server(std::string_view folder) {
    const auto port = parse_port(environment("PORT", ""));
    if (!port) return fail_with(Error(Code::kInvalid, "PORT must say where to listen"));
    const std::string host = environment("HOST", "127.0.0.1");

    InProcessHub hub;
    UvLoop loop(hub);
    auto files =
        StaticFiles::open(loop, std::filesystem::path(folder), environment("CANDELA_RELEASE", "0"));
    if (!files) return fail_with(files.error());
    http::FlowServer server(loop, *files, http::ServerOptions(), Logger());
    auto listener = loop.listen(Address::tcp(host, *port), ListenOptions(),
                                [&](StreamPtr stream) { server.accept(std::move(stream)); });
    if (!listener) return fail_with(listener.error());
    TaskGroup tasks;
    const auto stop = [&] {
        listener->reset();
        if (tasks.size() == 0) tasks.spawn(drain(server, loop));
    };
    const auto on_terminate = SignalWatcher::watch(loop, SIGTERM, stop);
    const auto on_interrupt = SignalWatcher::watch(loop, SIGINT, stop);
    if (!on_terminate) return fail_with(on_terminate.error());
    if (!on_interrupt) return fail_with(on_interrupt.error());
    fmt::print("serving {} on {}:{}\n", printable(folder), host, *port);
    std::fflush(stdout);
    loop.run();
    return 0;
}

}  // namespace candela::service
