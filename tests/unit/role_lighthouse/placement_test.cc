// Which host takes an instance: resources, labels, spread, and what is said where none does.

#include <algorithm>

#include "planner_world.h"

namespace candela::lighthouse {
namespace {

using Counts = std::map<std::string, int>;
using service::parse_label_rule;

class Hosts : public World {
public:
    Hosts() { seen.nodes.clear(); }

    service::Manifest& wish() { return manifest; }
    void deploy(uint32_t instances, const std::string& name = "web") {
        Release next;
        next.instances = instances;
        next.manifest = manifest;
        next.manifest.probe.start_timeout = 20s;
        const ServiceKey key("default", name);
        apply(start_release(wanted, key, std::move(next), now, WallTime()), wanted, seen);
        settle();
    }
    void constrain(std::string_view rule) {
        manifest.placement.constraints.push_back(*parse_label_rule(rule));
    }
    void prefer(std::string_view rule) {
        manifest.placement.affinities.push_back(*parse_label_rule(rule));
    }

    service::Manifest manifest;
};

TEST_CASE_METHOD(Hosts, "what_is_reserved_is_given_to_nobody_else") {
    sized_host("a", 2000, 1024);
    sized_host("b", 1000, 4096);
    wish().resources.cpu_millis = 600;
    wish().resources.memory_bytes = 512ULL << 20;
    deploy(4);
    CHECK(running() == Counts{{"a", 2}, {"b", 1}});
    CHECK(waiting[kWeb] ==
          "no host has room for another instance; of 2 hosts, 1 lacks cpu (0.6 wanted, at most "
          "0.4 free), 1 lacks memory (512.0 MiB wanted, at most 0 B free)");
    // What ends gives its room back.
    apply(delete_service(web()), wanted, seen);
    settle();
    for (auto& [id, instance] : wanted.instances) is(id, InstanceState::kExited);
    settle();
    deploy(2, "other");
    CHECK(running() == Counts{{"a", 1}, {"b", 1}});
}

TEST_CASE_METHOD(Hosts, "a_service_without_resources_runs_where_nothing_is_left") {
    sized_host("a", 1000, 64);
    wish().resources.memory_bytes = 64ULL << 20;
    deploy(1);
    wish().resources.memory_bytes = 0;
    deploy(3, "other");
    CHECK(running() == Counts{{"a", 4}});
}

TEST_CASE_METHOD(Hosts, "constraints_are_met_or_the_reason_is_told_for_each") {
    sized_host("a", 1000, 1024, {{"disk", "ssd"}, {"zone", "x"}});
    sized_host("b", 1000, 1024, {{"disk", "hdd"}, {"zone", "x"}});
    sized_host("c", 1000, 1024, {{"disk", "ssd"}, {"zone", "y"}});
    sized_host("d", 1000, 1024, {{"disk", "ssd"}, {"zone", "x"}});
    sized_host("e", 1000, 1024, {{"disk", "ssd"}, {"zone", "x"}});
    mode("d", NodeMode::kCordoned);
    silent = {"e"};
    pass(6s);
    constrain("disk=ssd");
    constrain("zone!=y");
    wish().resources.memory_bytes = 600ULL << 20;
    deploy(2);
    CHECK(running() == Counts{{"a", 1}});
    CHECK(waiting[kWeb] ==
          "no host has room for another instance; of 5 hosts, 1 is away, 1 is cordoned, 1 lacks "
          "memory (600.0 MiB wanted, at most 424.0 MiB free), 1 has no label disk=ssd, 1 does not "
          "meet zone!=y");
}

TEST_CASE_METHOD(Hosts, "a_node_is_named_by_the_label_node") {
    sized_host("a", 1000, 1024);
    sized_host("b", 1000, 1024);
    constrain("node=b");
    deploy(3);
    CHECK(running() == Counts{{"b", 3}});
}

TEST_CASE_METHOD(Hosts, "affinities_are_followed_as_long_as_there_is_room") {
    sized_host("a", 1000, 1024);
    sized_host("b", 1000, 1024, {{"gpu", ""}});
    wish().resources.memory_bytes = 512ULL << 20;
    prefer("gpu");
    deploy(3);
    CHECK(running() == Counts{{"a", 1}, {"b", 2}});
}

TEST_CASE_METHOD(Hosts, "an_update_spreads_evenly_whatever_was_before") {
    for (const char* name : {"a", "b"}) host(name);
    // What starts gets ready, what stops ends, but where nobody is heard.
    const auto go_on = [&] {
        for (int step = 0; step < 100; ++step) {
            for (const auto& [id, instance] : wanted.instances) {
                if (silent.contains(instance.node)) continue;
                const bool runs = instance.stage == Stage::kRun;
                is(id, runs ? InstanceState::kReady : InstanceState::kExited);
            }
            pass(200ms);
            settle();
        }
        REQUIRE(web().find(web().target)->rollout == Rollout::kDone);
    };
    for (const int instances : {2, 4, 6}) {
        for (const char* lost : {"a", "b"}) {
            deploy(static_cast<uint32_t>(instances));
            go_on();
            silent = {lost};
            go_on();
            REQUIRE(running() == Counts{{*lost == 'a' ? "b" : "a", instances}});
            silent = {};
            deploy(static_cast<uint32_t>(instances));
            go_on();
            CHECK(running() == Counts{{"a", instances / 2}, {"b", instances / 2}});
        }
    }
}

TEST_CASE_METHOD(Hosts, "instances_are_spread_over_the_values_of_a_label") {
    for (int i = 0; i < 4; ++i) sized_host(fmt::format("x{}", i), 1000, 1024, {{"zone", "x"}});
    sized_host("y0", 1000, 1024, {{"zone", "y"}});
    wish().placement.spread = "zone";
    deploy(4);
    CHECK(running()["y0"] == 2);
    CHECK(running().size() == 3);
}

TEST_CASE_METHOD(Hosts, "a_host_takes_no_more_than_it_has_ports") {
    sized_host("a", 1000, 1024);
    seen.nodes["a"].ports_max = 2;
    deploy(3);
    CHECK(running() == Counts{{"a", 2}});
    CHECK(waiting[kWeb].ends_with("of 1 host, 1 has no port left ([host] ports_last)"));
    wish().kind = service::Kind::kBus;
    deploy(1, "bus");
    CHECK(running() == Counts{{"a", 3}});
}

TEST_CASE_METHOD(Hosts, "a_job_that_ended_takes_nothing_any_more") {
    sized_host("a", 1000, 1024);
    wish().kind = service::Kind::kJob;
    wish().resources.cpu_millis = 800;
    deploy(1);
    is("i1", InstanceState::kExited);
    settle();
    wish().kind = service::Kind::kHttp;
    deploy(1, "other");
    CHECK(running() == Counts{{"a", 2}});
}

TEST_CASE_METHOD(Hosts, "an_update_that_has_no_room_ends_and_says_why") {
    sized_host("a", 1000, 1024);
    wish().resources.cpu_millis = 1000;
    deploy(1);
    is("i1", InstanceState::kReady);
    settle();
    deploy(1);
    pass(30s);
    settle();
    CHECK(web().find(2)->rollout == Rollout::kRolledBack);
    CHECK(web().find(2)->cause.find("1 lacks cpu (1 wanted, at most 0 free)") != std::string::npos);
    CHECK(running() == Counts{{"a", 1}});
}

// Whatever is asked for, no host ever has more than it can give, and nothing waits while there is
// room for it.
TEST_CASE("placements_fit_and_nothing_waits_that_would_fit") {
    for (uint64_t seed = 1; seed <= 30; ++seed) {
        SeededRandom random(seed);
        Hosts cloud;
        const size_t hosts = 1 + random.below(12);
        for (size_t i = 0; i < hosts; ++i) {
            cloud.sized_host(fmt::format("h{}", i), 500 + random.below(4000),
                             256 + random.below(4096),
                             {{"zone", std::string(1, static_cast<char>('a' + random.below(3)))}});
        }
        for (int s = 0; s < 12; ++s) {
            cloud.manifest = service::Manifest();
            cloud.wish().resources.cpu_millis = static_cast<uint32_t>(random.below(900));
            cloud.wish().resources.memory_bytes = random.below(700) << 20;
            if (random.below(3) == 0) cloud.constrain("zone!=a");
            if (random.below(3) == 0) cloud.prefer("zone=b");
            if (random.below(3) == 0) cloud.wish().placement.spread = "zone";
            cloud.deploy(static_cast<uint32_t>(1 + random.below(9)), fmt::format("s{}", s));
        }
        std::map<std::string, std::pair<uint64_t, uint64_t>> taken;
        std::map<ServiceKey, uint32_t> counts;
        for (const auto& [id, instance] : cloud.wanted.instances) {
            const Service& service = cloud.wanted.services.at(instance.service);
            const service::Manifest& manifest = service.find(instance.release)->manifest;
            taken[instance.node].first += manifest.resources.cpu_millis;
            taken[instance.node].second += manifest.resources.memory_bytes;
            ++counts[instance.service];
        }
        INFO("seed " << seed);
        for (const auto& [name, sum] : taken) {
            CHECK(sum.first <= cloud.seen.nodes[name].cpu_millis_max);
            CHECK(sum.second <= cloud.seen.nodes[name].memory_bytes_max);
        }
        for (const auto& [key, service] : cloud.wanted.services) {
            const Release& release = *service.find(service.target);
            if (counts[key] == release.instances) continue;
            const service::Resources& needs = release.manifest.resources;
            for (const auto& [name, node] : cloud.seen.nodes) {
                const bool may = std::ranges::all_of(
                    release.manifest.placement.constraints,
                    [&](const auto& rule) { return rule.is_met_by(node.labels); });
                const bool fits = taken[name].first + needs.cpu_millis <= node.cpu_millis_max &&
                                  taken[name].second + needs.memory_bytes <= node.memory_bytes_max;
                CHECK_FALSE((may && fits));
            }
        }
    }
}

}  // namespace
}  // namespace candela::lighthouse
