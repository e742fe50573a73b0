// From the host's wish to start an instance until its program has taken over (exec), with every
// wall that this machine has, one after another. Prints one JSON object.
//   host-spawn [RUNS]

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "loop/file.h"
#include "loop/uv_loop.h"
#include "process_driver.h"
#include "seccomp_filter.h"

using namespace candela;
using namespace candela::host;

namespace {

struct Started final : RunningHandler {
    void on_started(int) override { at = std::chrono::steady_clock::now(); }
    void on_start_failed(const Error& error) override {
        fmt::print(stderr, "host-spawn: {}\n", error.message());
        std::exit(1);
    }
    void on_output(OutputKind, std::string_view) override {}
    void on_output_lost(uint64_t) override {}
    void on_exit(const ExitStatus&) override { has_ended = true; }
    std::optional<std::chrono::steady_clock::time_point> at;
    bool has_ended = false;
};

Task<void> look(ProcessDriver& driver, std::optional<Result<Abilities>>& out) {
    auto found = co_await driver.examine();
    out.emplace(std::move(found));
}

double percentile(const std::vector<double>& sorted, double share) {
    const auto at = static_cast<size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5);
    return sorted[at];
}

std::string measure(UvLoop& loop, ProcessDriver& driver, int runs, std::string_view folder) {
    std::vector<double> took;
    for (int i = 0; i < runs; ++i) {
        StartRequest request;
        request.instance = fmt::format("bench-{}", i);
        request.command = {"/bin/true"};
        request.environment = {"PATH=/usr/bin:/bin"};
        request.directory = folder;
        request.readable = {std::string(folder)};
        Started started;
        const auto before = std::chrono::steady_clock::now();
        auto running = driver.start(request, started);
        if (!running) std::exit(1);
        if (!loop.run_until([&] { return started.has_ended; }, 20s)) std::exit(1);
        took.push_back(std::chrono::duration<double, std::milli>(*started.at - before).count());
    }
    std::ranges::sort(took);
    return fmt::format("{{\"p50_ms\": {:.2f}, \"p99_ms\": {:.2f}, \"max_ms\": {:.2f}}}",
                       percentile(took, 0.5), percentile(took, 0.99), took.back());
}

}  // namespace

int main(int count, char** arguments) {
    const int runs = count > 1 ? std::max(1, std::atoi(arguments[1])) : 300;
    std::string folder = "/tmp/candela-host-spawn.XXXXXX";
    if (mkdtemp(folder.data()) == nullptr) return 1;
    std::filesystem::create_directories(folder + "/bundle");
    InProcessHub hub;
    UvLoop loop(hub);
    ProcessDriver driver(loop, Logger());
    ProcessDriverOptions options;
    options.run_folder = folder + "/run";
    options.run_id = "bench";
    if (!driver.open(options)) return 1;
    std::optional<Result<Abilities>> abilities;
    TaskGroup tasks;
    tasks.spawn(look(driver, abilities));
    loop.run_until([&] { return abilities.has_value(); }, 20s);
    if (!abilities || !*abilities) return 1;

    const std::string plain = measure(loop, driver, runs, folder + "/bundle");
    WallSettings settings;
    settings.walls = plan_walls(**abilities, geteuid() == 0, {});
    settings.limits.pids = 1024;
    settings.limits.scratch_bytes = 128 << 20;
    if (settings.walls.has_seccomp) settings.seccomp = make_seccomp_filter().value_or("");
    std::string walls;
    for (const Protection& each : list_protections(settings.walls)) {
        if (each.is_on) walls += fmt::format("{}\"{}\"", walls.empty() ? "" : ", ", each.name);
    }
    driver.set_walls(std::move(settings));
    const std::string walled = measure(loop, driver, runs, folder + "/bundle");
    fmt::print("{{\"runs\": {}, \"plain\": {}, \"walled\": {}, \"walls\": [{}]}}\n", runs, plain,
               walled, walls);
    static_cast<void>(remove_tree(folder));
    return 0;
}
