#include "protections.h"

#include <catch2/catch_test_macros.hpp>

#include "seccomp_filter.h"
#include "walls_plan.h"

namespace candela::host {
namespace {

const Abilities kAll{true, true, true, 7, true};

const Protection& find(const std::vector<Protection>& list, std::string_view name) {
    for (const Protection& each : list) {
        if (each.name == name) return each;
    }
    FAIL("there is no protection " << name);
    return list.front();
}

TEST_CASE("what_the_keeper_says_is_read_and_less_is_an_error") {
    const auto read = parse_abilities(
        "namespaces 1\nuser_namespaces 0\nnetwork_namespaces 0\nseccomp 0\nlandlock_abi 3\n");
    REQUIRE(read.has_value());
    CHECK_FALSE(read->has_namespaces);
    CHECK(read->has_user_namespaces);
    CHECK(read->has_seccomp);
    CHECK(read->landlock_abi == 3);
    CHECK(read->has_network_namespaces);
    CHECK(parse_abilities("namespaces 0\n").error().code() == Code::kInternal);
    CHECK_FALSE(parse_abilities("").has_value());
    CHECK_FALSE(
        parse_abilities(
            "namespaces x\nuser_namespaces 0\nnetwork_namespaces 0\nseccomp 0\nlandlock_abi 0")
            .has_value());
}

TEST_CASE("root_gives_each_instance_its_own_user_and_others_a_user_namespace") {
    const Walls root = plan_walls(kAll, true, {});
    CHECK(root.has_own_uid);
    CHECK_FALSE(root.in_user_namespace);
    const Walls other = plan_walls(Abilities{false, true, true, 0, false}, false, {});
    CHECK(other.has_namespaces);
    CHECK(other.in_user_namespace);
    CHECK_FALSE(other.has_own_uid);
    CHECK(find(list_protections(other), "user").detail.find("root") != std::string::npos);
    CHECK_FALSE(find(list_protections(other), "landlock").is_on);
}

TEST_CASE("a_network_of_its_own_needs_namespaces_and_a_kernel_that_makes_them") {
    CHECK(plan_walls(kAll, true, {}).has_own_network);
    CHECK_FALSE(plan_walls(kAll, true, {"namespaces"}).has_own_network);
    CHECK(find(list_protections(plan_walls(kAll, true, {"network"})), "network").detail ==
          "turned off by sandbox_off");
    const Walls none = plan_walls(Abilities{true, true, true, 7, false}, true, {});
    CHECK_FALSE(none.has_own_network);
    CHECK(find(list_protections(none), "network").detail == "this kernel does not let us make any");
}

TEST_CASE("what_is_off_says_why_and_what_a_level_needs_is_named") {
    Walls walls = plan_walls(kAll, true, {"seccomp"});
    CHECK(find(list_protections(walls), "seccomp") ==
          Protection{"seccomp", false, "turned off by sandbox_off"});
    CHECK(missing_for(Level::kNone, walls).empty());
    CHECK(missing_for(Level::kIsolated, walls) == "seccomp is off (turned off by sandbox_off)");

    walls = plan_walls(kAll, true, {});
    walls.no_cgroup = "this machine has no cgroup v2";
    CHECK(missing_for(Level::kIsolated, walls).empty());
    CHECK(missing_for(Level::kStrict, walls).find("memory is off (this machine has no cgroup v2") !=
          std::string::npos);
    walls.has_memory = walls.has_cpu = walls.has_pids = true;
    CHECK(missing_for(Level::kStrict, walls).empty());

    const Walls none = plan_walls(Abilities(), false, {});
    CHECK(missing_for(Level::kIsolated, none).find("namespaces is off") != std::string::npos);
    CHECK(list_protections(none).size() == list_protections(walls).size());
}

TEST_CASE("walls_that_need_others_go_with_them") {
    const Walls without = plan_walls(kAll, true, {"namespaces"});
    CHECK_FALSE(without.has_own_uid);
    CHECK(without.landlock_abi == 0);
    const Walls privileged = plan_walls(kAll, true, {"privileges"});
    CHECK_FALSE(privileged.has_seccomp);
    CHECK(privileged.has_namespaces);
}

TEST_CASE("levels_are_named_and_unknown_ones_refused") {
    for (const Level level : {Level::kNone, Level::kIsolated, Level::kStrict}) {
        CHECK(parse_level(to_string(level)).value() == level);
    }
    CHECK(parse_level("").value() == Level::kNone);
    CHECK(parse_level("vault").error().code() == Code::kUnsupported);
}

TEST_CASE("uids_are_the_same_after_a_restart_and_in_their_range") {
    const uint32_t uid = instance_uid("run", "web-1");
    CHECK(uid == instance_uid("run", "web-1"));
    CHECK(uid != instance_uid("run", "web-2"));
    CHECK(uid != instance_uid("other", "web-1"));
    CHECK(uid >= kUidFirst);
    CHECK(uid - kUidFirst < kUidCount);
}

TEST_CASE("the_filter_is_a_program_for_the_kernel") {
    const auto filter = make_seccomp_filter();
    REQUIRE(filter.has_value());
    CHECK(filter->size() % 8 == 0);
    CHECK(filter->size() / 8 < 4096);  // BPF_MAXINSNS
}

}  // namespace
}  // namespace candela::host
