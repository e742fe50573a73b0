#include "usage_meter.h"

#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include "temp_folder.h"

namespace candela::host {
namespace {

using namespace proto;

// A /proc and a /sys/fs/cgroup that say what the test wants.
struct Kernel {
    test::TempFolder folder;
    std::filesystem::path proc = folder / "proc";
    std::filesystem::path groups = folder / "cgroup";

    Kernel() {
        std::filesystem::create_directories(proc / "self/ns");
        std::filesystem::create_symlink("net:[1]", proc / "self/ns/net");
        put(proc / "self/cgroup", "1:cpu:/x\n0::/ours\n");
        put(proc / "stat", "cpu  100 0 50 9000 10 0 0 0 0 0\ncpu0 1\n");
        put(proc / "meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n");
    }
    static void put(const std::filesystem::path& file, const std::string& text) {
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file) << text;
    }
    void process(int pid, int parent, int ticks, int pages, const std::string& name = "a b) c",
                 bool has_io = true) {
        const auto self = proc / std::to_string(pid);
        put(self / "stat",
            fmt::format("{} ({}) S {} 1 1 0 -1 0 1 2 3 4 {} 0 0 0 20 0 1 0 7 999 {} 0\n", pid, name,
                        parent, ticks, pages));
        put(self / "comm", name + "\n");
        put(self / "cgroup", "0::/ours\n");
        if (has_io) put(self / "io", "rchar: 9\nread_bytes: 10\nwrite_bytes: 20\n");
        std::filesystem::create_directories(self / "ns");
        std::filesystem::create_symlink("net:[1]", self / "ns/net");
    }
    Usage of(int pid, const std::filesystem::path& cgroup = {}) {
        return measure_usage({MeteredInstance("a", pid, cgroup)}, proc, groups).instances["a"];
    }
};

TEST_CASE_METHOD(Kernel, "a_container_on_cgroup_v1_counts_by_its_groups") {
    put(proc / "self/cgroup", "4:memory:/\n3:cpu,cpuacct:/\n2:pids:/\n1:blkio:/\n0::/\n");
    process(11, 1, 100, 10);
    put(proc / "11/cgroup",
        "4:memory:/docker/a\n3:cpu,cpuacct:/docker/a\n2:pids:/docker/a\n1:blkio:/docker/a\n0::/\n");
    put(groups / "cpu,cpuacct/docker/a/cpuacct.usage", "7000000\n");
    put(groups / "memory/docker/a/memory.usage_in_bytes", "4096\n");
    put(groups / "pids/docker/a/pids.current", "3\n");
    put(groups / "blkio/docker/a/blkio.throttle.io_service_bytes",
        "8:0 Read 10\n8:0 Write 20\n8:16 Read 1\n8:16 Write 2\n8:0 Total 30\nTotal 33\n");
    const Usage usage = of(11);
    CHECK(usage.known == (kUsageCpu | kUsageMemory | kUsageProcesses | kUsageIo));
    CHECK(usage.cpu_micros == 7000);
    CHECK(usage.memory_bytes == 4096);
    CHECK(usage.processes == 3);
    CHECK(usage.io_read_bytes == 11);
    CHECK(usage.io_write_bytes == 22);
    // In the same groups as we are nobody counts for it alone.
    put(proc / "11/cgroup", "4:memory:/\n3:cpu,cpuacct:/\n2:pids:/\n1:blkio:/\n0::/\n");
    CHECK(of(11).cpu_micros != 7000);
}

TEST_CASE_METHOD(Kernel, "without_a_group_the_whole_tree_of_processes_counts") {
    process(10, 1, 0, 1, "candela-keeper");
    process(11, 10, 100, 10);  // the program
    process(12, 11, 50, 5);
    process(13, 12, 25, 2);
    process(14, 10, 5, 1);  // one that has left its parent
    process(20, 1, 9999, 999);
    const Usage usage = of(11);
    const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    CHECK(usage.known == (kUsageCpu | kUsageMemory | kUsageProcesses | kUsageIo));
    CHECK(usage.cpu_micros == 180 * 1'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
    CHECK(usage.memory_bytes == 18 * page);
    CHECK(usage.processes == 4);
    CHECK(usage.io_read_bytes == 40);
    CHECK(usage.io_write_bytes == 80);
}

TEST_CASE_METHOD(Kernel, "what_can_not_be_read_is_unknown_and_not_zero") {
    process(11, 1, 100, 10, "x", false);
    CHECK(of(11).known == (kUsageCpu | kUsageMemory | kUsageProcesses));
    CHECK(of(99).known == 0);
}

TEST_CASE_METHOD(Kernel, "a_group_knows_what_its_processes_took_and_how_long_they_waited") {
    process(11, 1, 1, 1);
    const auto group = groups / "candela/a";
    put(group / "cpu.stat", "usage_usec 1234\nuser_usec 1000\n");
    put(group / "memory.current", "4096\n");
    put(group / "pids.current", "3\n");
    put(group / "io.stat", "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2 rios=1\n");
    for (const char* name : {"cpu", "memory", "io"})
        put(group / (std::string(name) + ".pressure"),
            "some avg10=12.34 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00\n");
    const Usage usage = of(11, group);
    CHECK(usage.known == (kUsageCpu | kUsageMemory | kUsageProcesses | kUsageIo | kUsagePressure));
    CHECK(usage.cpu_micros == 1234);
    CHECK(usage.memory_bytes == 4096);
    CHECK(usage.processes == 3);
    CHECK(usage.io_read_bytes == 11);
    CHECK(usage.io_write_bytes == 22);
    CHECK(usage.io_pressure == 1234);
}

TEST_CASE_METHOD(Kernel, "a_group_that_an_engine_made_is_found_by_its_process") {
    process(11, 1, 1, 1);
    put(proc / "11/cgroup", "0::/docker/abc\n");
    put(groups / "docker/abc/memory.current", "777\n");
    const Usage usage = of(11);
    CHECK(usage.memory_bytes == 777);
    CHECK((usage.known & kUsageCpu) != 0);  // from its processes
}

TEST_CASE_METHOD(Kernel, "traffic_counts_in_a_network_of_its_own") {
    process(11, 1, 1, 1);
    put(proc / "11/net/dev",
        "Inter-|   Receive |  Transmit\n face |bytes packets\n"
        "    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n"
        "  eth0: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n");
    CHECK((of(11).known & kUsageNetwork) == 0);
    std::filesystem::remove(proc / "11/ns/net");
    std::filesystem::create_symlink("net:[2]", proc / "11/ns/net");
    const Usage usage = of(11);
    CHECK((usage.known & kUsageNetwork) != 0);
    CHECK(usage.net_in_bytes == 100);
    CHECK(usage.net_out_bytes == 200);
}

TEST_CASE_METHOD(Kernel, "of_the_machine_what_it_tells") {
    const Usage machine = measure_usage({}, proc, groups).machine;
    CHECK(machine.known == (kUsageCpu | kUsageMemory));
    CHECK(machine.memory_bytes == 600 * 1024);
    CHECK(machine.cpu_micros == 150 * 1'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
}

}  // namespace
}  // namespace candela::host
