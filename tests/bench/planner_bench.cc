// How fast the planner places instances, and how its cost grows: a cloud of N hosts gets 20
// instances a host, all at once, in services of 20 with resources, a constraint, and a label to
// spread over; then it is planned again when nothing is left to do, as each second. Prints a line
// for each size. CPU time of this one thread.

#include <ctime>

#include <fmt/format.h>

#include "changes.h"
#include "heard.h"
#include "planner.h"

namespace candela::lighthouse {
namespace {

constexpr uint32_t kInstancesOfService = 20;
constexpr uint32_t kInstancesOfHost = 20;

double cpu_seconds() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

struct Cloud {
    MonoTime now{1h};
    Wanted wanted;
    Seen seen;
    PlanLimits limits;

    explicit Cloud(size_t hosts) {
        seen.listening_since = now;
        for (size_t i = 0; i < hosts; ++i) {
            Node node;
            node.name = fmt::format("host-{:05}", i);
            node.roles = {"host"};
            node.heard_at = now;
            node.instances_max = 200;
            node.cpu_millis_max = 16'000;
            node.memory_bytes_max = 64ULL << 30;
            node.labels = {{"zone", std::string(1, static_cast<char>('a' + i % 3))},
                           {"disk", i % 2 == 0 ? "ssd" : "hdd"}};
            seen.nodes.emplace(node.name, std::move(node));
        }
        const size_t services = hosts * kInstancesOfHost / kInstancesOfService;
        for (size_t i = 0; i < services; ++i) {
            Release release;
            release.instances = kInstancesOfService;
            release.manifest.name = fmt::format("service-{:05}", i);
            release.manifest.command = {"node", "server.js"};
            release.manifest.resources.cpu_millis = 100 + static_cast<uint32_t>(i % 7) * 50;
            release.manifest.resources.memory_bytes = (64ULL + i % 11 * 64) << 20;
            if (i % 4 == 0)
                release.manifest.placement.constraints = {*service::parse_label_rule("disk=ssd")};
            if (i % 3 == 0) release.manifest.placement.spread = "zone";
            const ServiceKey key("default", release.manifest.name);
            apply(start_release(wanted, key, std::move(release), now, WallTime()), wanted, seen);
        }
    }

    // Plans and applies until nothing is left; returns the CPU seconds of planning alone.
    double settle() {
        double spent = 0;
        for (;;) {
            const double before = cpu_seconds();
            const Plan next = plan(wanted, seen, now, limits);
            spent += cpu_seconds() - before;
            if (next.actions.empty()) return spent;
            uint64_t number = 0;
            auto make_id = [&](const ServiceKey& key) {
                return fmt::format("{}-{:08}", key.second, ++number);
            };
            apply(changes_of(next, wanted, seen, make_id, now, WallTime()), wanted, seen);
        }
    }
};

void measure(size_t hosts) {
    Cloud cloud(hosts);
    const double placing = cloud.settle();
    const size_t placed = cloud.wanted.instances.size();
    for (const auto& [id, instance] : cloud.wanted.instances) {
        proto::InstanceStatus status;
        status.instance = id;
        status.state = proto::InstanceState::kReady;
        status.port = 9000;
        sight(cloud.seen.instances[id], status, cloud.now);
    }
    cloud.settle();
    const double resting = cloud.settle();
    fmt::print(
        "{:>6} hosts  {:>7} instances  placed in {:>7.3f} s  {:>8.0f} placements/s  "
        "{:>6.2f} us each  planned again in {:>7.1f} ms\n",
        hosts, placed, placing, static_cast<double>(placed) / placing,
        placing * 1e6 / static_cast<double>(placed), resting * 1e3);
}

}  // namespace
}  // namespace candela::lighthouse

int main() {
    for (const size_t hosts : {50, 500, 1000, 2500, 5000}) candela::lighthouse::measure(hosts);
    return 0;
}
