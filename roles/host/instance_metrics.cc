#include "instance_metrics.h"

namespace candela::host {

void InstanceMetrics::update(const std::vector<proto::InstanceStatus>& instances) {
    for (auto& [name, one] : instances_) one.is_there = false;
    for (const proto::InstanceStatus& status : instances) {
        if (status.pid == 0 || status.usage.known == 0) continue;
        One& one = instances_[status.instance];
        const bool has_changed = one.usage.known != status.usage.known;
        one.usage = status.usage;
        one.is_there = true;
        if (has_changed) add_series(one, status.instance);
    }
    std::erase_if(instances_, [](const auto& each) { return !each.second.is_there; });
}

void InstanceMetrics::add_series(One& one, const std::string& instance) {
    one.series.clear();
    const auto add = [&](uint32_t bit, std::string_view name, std::string_view help, auto value) {
        if ((one.usage.known & bit) == 0) return;
        one.series.push_back(metrics_.sampled_gauge(
            name, help, {{"instance", instance}},
            [&usage = one.usage, value] { return static_cast<double>(value(usage)); }));
    };
    using proto::Usage;
    add(proto::kUsageCpu, "candela_host_instance_cpu_seconds", "CPU time that it has taken.",
        [](const Usage& u) { return static_cast<double>(u.cpu_micros) / 1e6; });
    add(proto::kUsageMemory, "candela_host_instance_memory_bytes", "Memory of all its processes.",
        [](const Usage& u) { return u.memory_bytes; });
    add(proto::kUsageProcesses, "candela_host_instance_processes", "Its processes.",
        [](const Usage& u) { return u.processes; });
    add(proto::kUsageIo, "candela_host_instance_read_bytes", "What it has read from disks.",
        [](const Usage& u) { return u.io_read_bytes; });
    add(proto::kUsageIo, "candela_host_instance_written_bytes", "What it has written to disks.",
        [](const Usage& u) { return u.io_write_bytes; });
    add(proto::kUsageNetwork, "candela_host_instance_received_bytes",
        "What it has received in a network of its own.",
        [](const Usage& u) { return u.net_in_bytes; });
    add(proto::kUsageNetwork, "candela_host_instance_sent_bytes",
        "What it has sent in a network of its own.",
        [](const Usage& u) { return u.net_out_bytes; });
}

}  // namespace candela::host
