// Hosts that are drained, cordoned, removed, lost, or not back yet.

#include "planner_world.h"

namespace candela::lighthouse {
namespace {

using Counts = std::map<std::string, int>;

// One instance on each of a and b, both ready.
void start_two(World& world) {
    world.release(2);
    world.settle();
    world.is("i1", InstanceState::kReady);
    world.is("i2", InstanceState::kReady);
    world.settle();
    REQUIRE(world.running() == Counts{{"a", 1}, {"b", 1}});
}

TEST_CASE_METHOD(World, "a_drain_places_the_successor_first_and_then_ends_the_old") {
    start_two(*this);
    mode("a", NodeMode::kDraining);
    CHECK(settle() == Lines{"create default/web release 1 on b"});
    is("i3", InstanceState::kStarting);
    CHECK(settle().empty());  // one that does not serve yet is no successor
    is("i3", InstanceState::kReady);
    CHECK(settle() == Lines{"drain i1", "stop i1"});
    is("i1", InstanceState::kExited);
    CHECK(settle() == Lines{"forget i1"});
    CHECK(running() == Counts{{"b", 2}});
}

TEST_CASE_METHOD(World, "a_drain_moves_all_of_a_host_no_faster_than_the_surge_allows") {
    wanted = Wanted();
    seen.nodes.at("b").mode = NodeMode::kCordoned;
    release(3);
    settle();
    for (const char* id : {"i1", "i2", "i3"}) is(id, InstanceState::kReady);
    settle();
    REQUIRE(running() == Counts{{"a", 3}});
    mode("b", NodeMode::kOpen);
    mode("a", NodeMode::kDraining);
    for (int moved = 1; moved <= 3; ++moved) {
        settle();
        CHECK(running() == Counts{{"a", 4 - moved}, {"b", moved}});
        is(fmt::format("i{}", 3 + moved), InstanceState::kReady);
    }
    settle();
    CHECK(running() == Counts{{"b", 3}});
}

TEST_CASE_METHOD(World, "a_drain_without_anywhere_to_go_takes_nothing_away_and_says_why") {
    start_two(*this);
    mode("a", NodeMode::kDraining);
    mode("b", NodeMode::kDraining);
    CHECK(settle().empty());
    CHECK(running() == Counts{{"a", 1}, {"b", 1}});
    CHECK(!waiting[kWeb].empty());
    mode("a", NodeMode::kOpen);
    CHECK(settle() == Lines{"create default/web release 1 on a"});
}

TEST_CASE_METHOD(World, "a_drain_that_is_taken_back_ends_what_has_not_come_up") {
    start_two(*this);
    mode("a", NodeMode::kDraining);
    settle();
    mode("a", NodeMode::kOpen);
    CHECK(settle() == Lines{"drain i3", "stop i3"});
    CHECK(running() == Counts{{"a", 1}, {"b", 1}});
}

TEST_CASE_METHOD(World, "a_service_without_surge_moves_by_ending_one_first_if_there_is_room") {
    release(2);
    wanted.services[kWeb].releases[1].manifest.update.max_surge = 0;
    wanted.services[kWeb].releases[1].manifest.update.max_unavailable = 1;
    settle();
    is("i1", InstanceState::kReady);
    is("i2", InstanceState::kReady);
    settle();
    mode("b", NodeMode::kCordoned);
    mode("a", NodeMode::kDraining);
    CHECK(settle().empty());
    mode("b", NodeMode::kOpen);
    CHECK(settle() == Lines{"drain i1", "create default/web release 1 on b", "stop i1"});
}

TEST_CASE_METHOD(World, "a_job_on_a_host_that_is_drained_runs_to_its_end_there") {
    kind = service::Kind::kJob;
    release(1);
    settle();
    is("i1", InstanceState::kReady);
    settle();
    mode("a", NodeMode::kDraining);
    CHECK(settle().empty());
    is("i1", InstanceState::kExited);
    settle();
    CHECK(wanted.instances.size() == 1);
}

TEST_CASE_METHOD(World, "an_update_goes_through_while_a_host_is_drained") {
    start_two(*this);
    mode("a", NodeMode::kDraining);
    settle();
    release(2);
    for (int round = 0; round < 10; ++round) {
        settle();
        for (auto& [id, instance] : wanted.instances) {
            is(id, instance.stage == Stage::kRun ? InstanceState::kReady : InstanceState::kExited);
        }
    }
    CHECK(web().find(2)->rollout == Rollout::kDone);
    CHECK(running() == Counts{{"b", 2}});
}

TEST_CASE_METHOD(World, "what_was_on_a_removed_host_is_replaced_whatever_the_storm_guard_says") {
    host("c");
    release(3);
    settle();
    for (const char* id : {"i1", "i2", "i3"}) is(id, InstanceState::kReady);
    settle();
    silent = {"a", "b"};
    pass(16s);
    CHECK(settle().empty());
    CHECK(holding == Lines{"a", "b"});
    apply(remove_node(seen.nodes.at("a")), wanted, seen);
    settle();
    CHECK(running()["c"] == 3);  // b is one of two now
    CHECK(holding.empty());
}

TEST_CASE_METHOD(World, "hosts_that_go_one_after_the_other_are_no_storm") {
    host("c");
    release(2);
    settle();
    is("i1", InstanceState::kReady);
    is("i2", InstanceState::kReady);
    settle();
    silent = {"a"};
    pass(6s);
    settle();
    is("i3", InstanceState::kReady);
    settle();  // what was on a is forgotten
    CHECK(running() == Counts{{"b", 1}, {"c", 1}});
    pass(1min);
    silent = {"a", "b"};
    pass(6s);
    settle();
    CHECK(holding.empty());
    CHECK(running()["c"] == 2);
}

TEST_CASE_METHOD(World, "a_lighthouse_that_starts_gives_hosts_time_to_report") {
    start_two(*this);
    begin_anew(wanted, seen, now);
    seen.listening_since = now;
    seen.nodes["a"].heard_at = now;
    silent = {"b"};
    pass(10s);
    CHECK(settle().empty());
    CHECK(running() == Counts{{"a", 1}, {"b", 1}});
    pass(6s);  // arrive_max is over
    settle();
    CHECK(running()["a"] == 2);
}

TEST_CASE_METHOD(World, "a_majority_that_does_not_report_after_the_start_is_waited_for") {
    host("c");
    release(3);
    settle();
    for (const char* id : {"i1", "i2", "i3"}) is(id, InstanceState::kReady);
    settle();
    begin_anew(wanted, seen, now);
    seen.listening_since = now;
    silent = {"a", "b"};
    pass(20s);
    CHECK(settle().empty());
    CHECK(holding == Lines{"a", "b"});
    pass(5min);
    settle();
    CHECK(holding.empty());
    CHECK(running()["c"] == 3);
}

}  // namespace
}  // namespace candela::lighthouse
