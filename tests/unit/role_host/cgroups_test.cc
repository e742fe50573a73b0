#include "cgroups.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <catch2/catch_test_macros.hpp>

#include "temp_folder.h"

namespace candela::host {
namespace {

using test::read_text;

// A tree of files that looks like cgroup v2, and keeps what is written to it.
struct Tree {
    test::TempFolder mount;

    void group(const std::string& path, const std::string& controllers) const {
        mount.write(path + "cgroup.controllers", controllers + "\n");
        mount.write(path + "cgroup.subtree_control", controllers + "\n");
    }
};

TEST_CASE_METHOD(Tree, "a_machine_without_cgroup_v2_is_told_apart") {
    const auto base = find_cgroup_base(mount.path(), "0::/\n", 7);
    CHECK(base.error().code() == Code::kUnsupported);
    CHECK(base.error().message().find("no cgroup v2") != std::string::npos);
    CHECK_FALSE(use_cgroup_folder(mount.path()));
}

TEST_CASE_METHOD(Tree, "in_the_subgroup_that_systemd_made_siblings_are_made") {
    group("", "cpu memory pids");
    group("system.slice/candela-host.service/", "cpu memory pids");
    group("system.slice/candela-host.service/host/", "cpu memory pids");
    const auto base = find_cgroup_base(
        mount.path(), "1:name=systemd:/x\n0::/system.slice/candela-host.service/host\n", 7);
    REQUIRE(base.has_value());
    CHECK(base->folder == mount.path() / "system.slice/candela-host.service");
    CHECK(base->has_memory);
    CHECK(base->has_cpu);
    CHECK(base->has_pids);
    CHECK_FALSE(base->has_io);
}

TEST_CASE_METHOD(Tree, "a_unit_without_a_subgroup_is_refused_with_what_it_lacks") {
    group("", "memory");
    group("system.slice/candela-host.service/", "memory");
    const auto base = find_cgroup_base(mount.path(), "0::/system.slice/candela-host.service", 7);
    CHECK(base.error().message().find("DelegateSubgroup=host") != std::string::npos);
}

TEST_CASE_METHOD(Tree, "elsewhere_we_go_to_a_group_of_our_own_first") {
    group("", "memory pids");
    group("user/", "memory pids");
    const auto base = find_cgroup_base(mount.path(), "0::/user\n", 4711);
    REQUIRE(base.has_value());
    CHECK(base->folder == mount.path() / "user");
    CHECK(read_text(mount / "user/host/cgroup.procs") == "4711");
    const auto at_top = find_cgroup_base(mount.path(), "0::/\n", 4711);
    REQUIRE(at_top.has_value());
    CHECK(at_top->folder == mount.path() / "candela");
}

TEST_CASE_METHOD(Tree, "limits_are_written_and_none_means_none") {
    CgroupBase base{mount.path(), true, true, true, false};
    const auto folder = cgroup_of(base, "web-1");
    InstanceLimits limits;
    limits.memory_bytes = 100 << 20;
    limits.cpu_percent = 150;
    limits.pids = 64;
    REQUIRE(make_cgroup(base, folder, limits));
    CHECK(read_text(folder / "memory.max") == "104857600");
    CHECK_FALSE(std::filesystem::exists(folder / "memory.high"));
    CHECK(read_text(folder / "memory.oom.group") == "1");
    CHECK(read_text(folder / "cpu.max") == "150000 100000");
    CHECK(read_text(folder / "pids.max") == "64");
    REQUIRE(make_cgroup(base, folder, InstanceLimits()));
    CHECK(read_text(folder / "memory.max") == "max");
    CHECK(read_text(folder / "cpu.max") == "max 100000");
    CHECK(read_text(folder / "pids.max") == "max");

    base = CgroupBase{mount.path(), false, false, false, false};
    REQUIRE(make_cgroup(base, cgroup_of(base, "web-2"), limits));
    CHECK_FALSE(std::filesystem::exists(cgroup_of(base, "web-2") / "memory.max"));
    CHECK(remove_cgroup(cgroup_of(base, "web-3")));
}

TEST_CASE_METHOD(Tree, "usage_and_pressure_are_read") {
    mount.write("g/memory.current", "123456\n");
    mount.write("g/cpu.stat", "usage_usec 77\nuser_usec 70\n");
    mount.write("g/pids.current", "3\n");
    mount.write("g/cpu.pressure", "some avg10=12.34 avg60=0.00 avg300=0.00 total=1\n");
    mount.write("g/memory.events", "low 0\nhigh 1\nmax 2\noom 1\noom_kill 4\n");
    const CgroupUsage usage = read_cgroup_usage(mount / "g");
    CHECK(usage.memory_bytes == 123'456);
    CHECK(usage.cpu_us == 77);
    CHECK(usage.pids == 3);
    CHECK(usage.cpu_pressure == 1234);
    CHECK(usage.memory_pressure == 0);
    CHECK(usage.oom_kills == 4);
    CHECK(read_cgroup_usage(mount / "nothing").memory_bytes == 0);
}

TEST_CASE_METHOD(Tree, "the_disk_of_a_folder_is_a_whole_one") {
    struct stat look{};
    REQUIRE(stat(mount.path().c_str(), &look) == 0);
    const std::string number = fmt::format("{}:{}", major(look.st_dev), minor(look.st_dev));
    // As /sys/dev/block/8:1 is a link to …/block/sda/sda1.
    mount.write("block/sda/dev", "8:0\n");
    mount.write("block/sda/sda1/partition", "1\n");
    mount.write("links/none", "");
    CHECK(disk_of(mount.path(), mount / "links").error().message().contains("on no single disk"));
    std::filesystem::create_directory_symlink(mount / "block/sda/sda1", mount / "links" / number);
    CHECK(disk_of(mount.path(), mount / "links") == "8:0");
    std::filesystem::remove(mount / "links" / number);
    std::filesystem::create_directory_symlink(mount / "block/sda", mount / "links" / number);
    CHECK(disk_of(mount.path(), mount / "links") == number);
    CHECK_FALSE(disk_of(mount / "nothing", mount / "links"));
}

TEST_CASE_METHOD(Tree, "disk_use_is_limited_where_the_disk_is_known") {
    InstanceLimits limits;
    limits.io_bytes = 1 << 20;
    CgroupBase base{mount.path(), false, false, false, true};
    REQUIRE(make_cgroup(base, cgroup_of(base, "web-1"), limits));
    CHECK_FALSE(std::filesystem::exists(cgroup_of(base, "web-1") / "io.max"));
    base.disk = "254:0";
    REQUIRE(make_cgroup(base, cgroup_of(base, "web-1"), limits));
    CHECK(read_text(cgroup_of(base, "web-1") / "io.max") == "254:0 rbps=1048576 wbps=1048576");
}

TEST_CASE_METHOD(Tree, "what_ended_for_want_of_memory_says_so") {
    mount.write("g/memory.events", "low 0\nhigh 9\nmax 7\noom 1\noom_kill 0\noom_group_kill 0\n");
    mount.write("g/memory.max", "67108864\n");
    CHECK(why_ended(mount / "g").empty());
    mount.write("g/memory.events", "low 0\nhigh 9\nmax 7\noom 1\noom_kill 2\noom_group_kill 1\n");
    CHECK(why_ended(mount / "g") == "out of memory: it may take 64.0 MiB");
    mount.write("g/memory.max", "max\n");
    CHECK(why_ended(mount / "g") == "out of memory: the machine had none left");
    CHECK(why_ended(mount / "nothing").empty());
}

}  // namespace
}  // namespace candela::host
