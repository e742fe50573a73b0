#include "node/machine.h"

#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/encoding.h"
#include "base/text.h"
#include "crypto/hash.h"

namespace candela {

namespace {
std::string first_line(const char* path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}
}  // namespace

std::string machine_id() {
    std::error_code ignored;  // an empty part still leaves the others
    const auto network = std::filesystem::read_symlink("/proc/self/ns/net", ignored).string();
    const std::string facts =
        first_line("/proc/sys/kernel/random/boot_id") + " " + network + " candela";
    return crypto::sha256_hex(as_bytes(facts)).substr(0, 32);
}

uint64_t machine_memory_bytes() {
    struct sysinfo info = {};
    if (sysinfo(&info) != 0) return 0;
    return static_cast<uint64_t>(info.totalram) * info.mem_unit;
}

unsigned machine_cpus() {
    const long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? static_cast<unsigned>(count) : 1;
}

unsigned LoadMeter::percent() {
    // proc(5): "cpu user nice system idle iowait irq softirq steal …" in ticks since boot.
    std::istringstream line(first_line("/proc/stat"));
    std::string label;
    line >> label;
    uint64_t total = 0;
    uint64_t idle = 0;
    uint64_t ticks = 0;
    for (int i = 0; i < 8 && line >> ticks; ++i) {
        total += ticks;
        if (i == 3 || i == 4) idle += ticks;
    }
    const uint64_t busy = total - idle;
    const uint64_t total_since = total - last_total_;
    const uint64_t busy_since = busy - last_busy_;
    last_total_ = total;
    last_busy_ = busy;
    if (total_since == 0 || busy_since > total_since) return 0;
    return static_cast<unsigned>(busy_since * 100 / total_since);
}

ProcessUsage process_usage() {
    ProcessUsage usage;
    std::ifstream memory("/proc/self/statm");
    uint64_t size = 0;
    uint64_t resident = 0;
    if (memory >> size >> resident) {
        usage.resident_bytes = resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    }
    std::error_code error;
    for (std::filesystem::directory_iterator it("/proc/self/fd", error), end; !error && it != end;
         it.increment(error)) {
        ++usage.open_files;
    }
    struct rusage times = {};
    if (getrusage(RUSAGE_SELF, &times) == 0) {
        const auto seconds = [](const timeval& t) {
            return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
        };
        usage.cpu_seconds = seconds(times.ru_utime) + seconds(times.ru_stime);
    }
    return usage;
}

uint64_t raise_open_files_limit() {
    struct rlimit limit = {};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : before;
}

}  // namespace candela
