#include <algorithm>

#include "planner_world.h"

namespace candela::lighthouse {
namespace {

TEST_CASE_METHOD(World, "a_first_release_is_spread_over_hosts_and_done_when_ready") {
    release(2);
    CHECK(settle() ==
          Lines{"create default/web release 1 on a", "create default/web release 1 on b"});
    is("i1", InstanceState::kReady);
    CHECK(settle().empty());
    is("i2", InstanceState::kReady);
    CHECK(settle() == Lines{"release 1 of default/web is done"});
    CHECK(web().stable == 1);
}

TEST_CASE_METHOD(World, "an_update_waits_for_gateways_on_both_sides") {
    node("gate", "gateway");
    Node& gate = seen.nodes["gate"];
    release(1, true);
    settle();
    is("i1", InstanceState::kReady);
    CHECK(settle().empty());  // the gateway does not serve the table that has it
    gate.routes_version = seen.routes_version;
    CHECK(settle() == Lines{"release 1 of default/web is done"});

    release(1, true);
    CHECK(settle() == Lines{"create default/web release 2 on b"});
    is("i2", InstanceState::kReady);
    CHECK(settle().empty());
    gate.routes_version = seen.routes_version;
    CHECK(settle() == Lines{"drain i1", "release 2 of default/web is done"});
    gate.routes_version = seen.routes_version;
    gate.busy_instances = {"i1"};
    CHECK(settle().empty());
    gate.busy_instances.clear();
    CHECK(settle() == Lines{"stop i1"});
    is("i1", InstanceState::kExited);
    CHECK(settle() == Lines{"forget i1"});
}

TEST_CASE_METHOD(World, "draining_ends_when_its_time_is_over") {
    node("gate", "gateway");
    Node& gate = seen.nodes["gate"];
    release(1, true);
    settle();
    is("i1", InstanceState::kReady);
    settle();
    gate.routes_version = seen.routes_version;
    settle();
    gate.busy_instances = {"i1"};
    apply(scale(web(), 0, now), wanted, seen);
    CHECK(settle() == Lines{"drain i1"});
    gate.routes_version = seen.routes_version;
    pass(14s);
    CHECK(settle().empty());
    pass(2s);
    CHECK(settle() == Lines{"stop i1"});
}

TEST_CASE_METHOD(World, "a_gateway_that_lags_for_long_does_not_stop_an_update") {
    node("gate", "gateway");
    release(1, true);
    settle();
    is("i1", InstanceState::kReady);
    CHECK(settle().empty());
    pass(16s);
    CHECK(settle() == Lines{"release 1 of default/web is done"});
}

TEST_CASE_METHOD(World, "a_release_that_fails_goes_back_with_cause_and_last_lines") {
    release(1);
    settle();
    is("i1", InstanceState::kReady);
    settle();
    release(1);
    settle();
    is("i2", InstanceState::kFailed);
    const Lines done = settle();
    REQUIRE_FALSE(done.empty());
    CHECK(done[0] == "release 2 of default/web is rolled_back: i2 failed: no such file");
    const Release& failed = *web().find(2);
    CHECK(failed.failing.instance == "i2");
    CHECK(failed.failing.log_tail == Lines{"last words"});
    CHECK(failed.failing.probe_answer == "HTTP 503");
    CHECK(web().target == 1);
    CHECK(wanted.instances.at("i1").stage == Stage::kRun);
    CHECK_FALSE(wanted.instances.contains("i2"));
}

TEST_CASE_METHOD(World, "a_first_release_that_fails_is_failed_and_leaves_nothing_running") {
    release(1);
    settle();
    is("i1", InstanceState::kStarting, 3);
    const Lines done = settle();
    REQUIRE_FALSE(done.empty());
    CHECK(done[0].find("is failed: i1 ended 3 times") != std::string::npos);
    CHECK(web().target == 0);
    is("i1", InstanceState::kExited);
    settle();
    CHECK(wanted.instances.empty());
}

TEST_CASE_METHOD(World, "an_instance_that_is_never_ready_fails_its_release") {
    release(1);
    settle();
    is("i1", InstanceState::kStarting);
    pass(24s);
    CHECK(settle().empty());
    pass(2s);
    const Lines done = settle();
    REQUIRE_FALSE(done.empty());
    CHECK(done[0].find("was not ready within 20s: HTTP 503") != std::string::npos);
}

TEST_CASE_METHOD(World, "a_service_goes_only_where_the_walls_are_that_it_requires") {
    seen.nodes["a"].sandbox_level = "none";
    seen.nodes["b"].sandbox_level = "isolated";
    level = service::SandboxLevel::kIsolated;
    release(2);
    CHECK(settle() ==
          Lines{"create default/web release 1 on b", "create default/web release 1 on b"});
    is("i1", InstanceState::kReady);
    is("i2", InstanceState::kReady);
    settle();

    level = service::SandboxLevel::kStrict;
    release(2);
    CHECK(settle().empty());
    CHECK(waiting.at(kWeb).find("of 2 hosts, 2 lack the walls of its sandbox level") !=
          std::string::npos);
    seen.nodes["a"].sandbox_level = "strict";
    CHECK(settle() == Lines{"create default/web release 2 on a"});
}

TEST_CASE_METHOD(World, "a_service_without_a_network_goes_only_where_hosts_make_one") {
    has_network = false;
    release(1);
    CHECK(settle().empty());
    CHECK(waiting.at(kWeb).find("of 2 hosts, 2 lack networks for [sandbox] network = \"none\"") !=
          std::string::npos);
    seen.nodes["a"].protections = {{"network", false, "turned off by sandbox_off"}};
    CHECK(settle().empty());
    seen.nodes["b"].protections = {{"network", true, ""}};
    CHECK(settle() == Lines{"create default/web release 1 on b"});
}

TEST_CASE_METHOD(World, "nothing_is_placed_on_a_host_in_trouble") {
    seen.nodes["a"].trouble = "the disk is almost full";
    seen.nodes["b"].trouble = "the disk is almost full";
    release(1);
    CHECK(settle().empty());
    CHECK(waiting.at(kWeb).find("of 2 hosts, 2 are in trouble") != std::string::npos);
    seen.nodes["b"].trouble.clear();
    CHECK(settle() == Lines{"create default/web release 1 on b"});
}

TEST_CASE_METHOD(World, "containers_go_only_where_an_engine_is_with_its_walls_and_not_the_host_s") {
    driver = service::Driver::kDocker;
    release(1);
    CHECK(settle().empty());
    CHECK(waiting.at(kWeb).find("of 2 hosts, 2 lack docker (candela ctl nodes show NODE)") !=
          std::string::npos);
    seen.nodes["a"].drivers = {proto::HostDriver{"docker", false, "away", ""}};
    seen.nodes["b"].drivers = {proto::HostDriver{"docker", true, "Docker 20.10", "isolated"}};
    CHECK(settle() == Lines{"create default/web release 1 on b"});
    is("i1", InstanceState::kReady);
    settle();

    level = service::SandboxLevel::kStrict;
    seen.nodes["b"].sandbox_level = "strict";
    release(1);
    CHECK(settle().empty());
    CHECK(waiting.at(kWeb).find("1 lacks docker") != std::string::npos);
    CHECK(waiting.at(kWeb).find("1 lacks the walls of its sandbox level") != std::string::npos);
    seen.nodes["b"].drivers[0].sandbox_level = "strict";
    CHECK(settle() == Lines{"create default/web release 2 on b"});
}

TEST_CASE_METHOD(World, "a_release_without_a_host_ends_with_that_cause") {
    silent = {"a", "b"};
    pass(6s);
    release(1);
    CHECK(settle().empty());
    CHECK(waiting.at(kWeb) == "no host has room for another instance; of 2 hosts, 2 are away");
    pass(26s);
    const Lines done = settle();
    REQUIRE_FALSE(done.empty());
    CHECK(done[0].find("is failed: no host has room") != std::string::npos);
}

TEST_CASE_METHOD(World, "nothing_is_placed_on_a_full_draining_or_unheard_host") {
    seen.nodes["a"].instances_max = 1;
    seen.nodes["b"].draining = true;
    Node& unheard = seen.nodes["c"];
    unheard.name = "c";
    unheard.roles = {"host"};
    release(3);
    CHECK(settle() == Lines{"create default/web release 1 on a"});
}

TEST_CASE_METHOD(World, "what_was_on_a_silent_host_is_replaced_and_then_forgotten") {
    release(2);
    settle();
    is("i1", InstanceState::kReady);
    is("i2", InstanceState::kReady);
    settle();
    silent = {"a"};
    pass(6s);
    CHECK(settle() == Lines{"create default/web release 1 on b"});
    is("i3", InstanceState::kReady);
    CHECK(settle() == Lines{"forget i1"});
}

TEST_CASE_METHOD(World, "a_host_that_is_back_in_time_keeps_what_it_has") {
    release(2);
    settle();
    is("i1", InstanceState::kReady);
    is("i2", InstanceState::kReady);
    settle();
    silent = {"a"};
    pass(6s);
    settle();
    silent = {};
    pass(1s);
    // i3 does not serve yet: it goes, not i1.
    const Lines done = settle();
    REQUIRE_FALSE(done.empty());
    CHECK(done[0] == "drain i3");
    CHECK(wanted.instances.at("i1").stage == Stage::kRun);
}

TEST_CASE_METHOD(World, "a_deaf_lighthouse_does_nothing") {
    release(1);
    seen.listening_since.reset();
    pass(1h);
    CHECK(settle().empty());
}

TEST_CASE_METHOD(World, "a_job_is_done_when_it_ended_well_and_is_not_run_again") {
    kind = service::Kind::kJob;
    release(1);
    settle();
    is("i1", InstanceState::kExited);
    CHECK(settle() == Lines{"release 1 of default/web is done"});
    pass(1h);
    CHECK(settle().empty());
}

TEST_CASE_METHOD(World, "a_failed_instance_is_replaced_with_growing_pauses") {
    release(1);
    settle();
    is("i1", InstanceState::kReady);
    settle();
    is("i1", InstanceState::kFailed);
    CHECK(settle().front() == "drain i1");
    is("i2", InstanceState::kFailed);
    const Lines at_once = settle();
    CHECK(std::ranges::find(at_once, "drain i2") == at_once.end());
    pass(3s);
    const Lines later = settle();
    CHECK(std::ranges::find(later, "create default/web release 1 on a") != later.end());
}

TEST_CASE_METHOD(World, "a_smaller_release_takes_nothing_away_before_it_serves") {
    release(3);
    settle();
    for (const char* id : {"i1", "i2", "i3"}) is(id, InstanceState::kReady);
    settle();
    release(1);
    CHECK(settle() == Lines{"create default/web release 2 on b"});
    is("i4", InstanceState::kReady);
    CHECK(settle() == Lines{"drain i1", "drain i2", "drain i3", "release 2 of default/web is done",
                            "stop i1", "stop i2", "stop i3"});
}

TEST_CASE_METHOD(World, "a_newer_release_supersedes_one_that_is_rolling") {
    release(1);
    settle();
    release(1);
    CHECK(web().find(1)->rollout == Rollout::kSuperseded);
    CHECK(web().target == 2);
}

TEST_CASE_METHOD(World, "a_deleted_service_goes_when_its_instances_are_gone") {
    release(1);
    settle();
    is("i1", InstanceState::kReady);
    settle();
    apply(delete_service(web()), wanted, seen);
    CHECK(settle() == Lines{"drain i1", "stop i1"});
    is("i1", InstanceState::kExited);
    CHECK(settle() == Lines{"forget i1", "remove default/web"});
    CHECK(wanted.services.empty());
}

TEST_CASE_METHOD(World, "old_releases_are_forgotten_beyond_the_limit") {
    for (size_t i = 0; i < kReleasesMax + 5; ++i) {
        release(0);
        settle();
    }
    CHECK(web().releases.size() <= kReleasesMax + 1);
    CHECK(web().find(kReleasesMax + 5) != nullptr);
    CHECK(web().find(1) == nullptr);
}

}  // namespace
}  // namespace candela::lighthouse
