#include "role.h"

#include <algorithm>

#include "auth/key_pair.h"
#include "base/text.h"
#include "host.h"
#include "protections.h"

namespace candela::host {

const ConfigSchema& host_schema() {
    static const ConfigSchema schema({
        config_int("instances_max", "200", "How many instances run here at most.")
            .range("0", "4096"),
        config_float("reserve_cpu", "0", "Cores that are not given to instances.")
            .range("0", "1024"),
        config_size("reserve_memory", "256MiB",
                    "Memory that is not given to instances: for the system, and candela itself."),
        config_int("ports_first", "21000", "The first port given to instances, on loopback.")
            .range("1024", "65535"),
        config_int("ports_last", "28999", "The last one.").range("1024", "65535"),
        config_string("bus_url", "nats://127.0.0.1:4222", "What services find as CANDELA_BUS_URL."),
        config_size("bundle_size_max", "4GiB", "The largest bundle taken.").range("1KiB", ""),
        config_size("bundles_size_max", "20GiB",
                    "What all bundles, unpacked, may take on the disk.")
            .range("1MiB", ""),
        config_size("disk_reserve", "512MiB",
                    "What stays free of the disk, unless a twentieth of it is less: below it no "
                    "bundle is taken, and nothing is placed here."),
        config_duration("bundle_keep", "10m", "How long a bundle stays that nothing uses.")
            .range("0s", "365d"),
        config_strings("signers", {},
                       "Public keys whose bundles run here. Default: whoever the "
                       "lighthouse let deploy."),
        config_size("log_buffer", "256MiB",
                    "Log lines kept on the disk until the lighthouse has them. Beyond it the "
                    "oldest of whoever has most are dropped, and counted.")
            .range("1MiB", "1TiB"),
        config_strings(
            "sandbox_off", {},
            "Walls around instances to do without, of: namespaces, network, user, "
            "privileges, seccomp, landlock, cgroup. What is in force shows `candela ctl nodes show`."),
        config_string("docker_socket", "",
                      "Of the engine that runs services with driver = \"docker\", such as Podman's "
                      "/run/podman/podman.sock. Empty: $DOCKER_HOST, or /var/run/docker.sock; "
                      "\"off\": none."),
        config_string("cgroup_folder", "",
                      "A group of cgroup v2 that is ours, in which each instance gets one. Empty: "
                      "the one that we run in."),
        config_strings("sandbox_paths", {},
                       "Folders of this machine that services may read, beside /usr and what else "
                       "they need of the system."),
        config_size("memory_max", "0B",
                    "Memory of an instance that asks for no limit of its own; 0B: no limit."),
        config_int("pids_max", "1024",
                   "Processes and threads of an instance that asks for no limit of its own.")
            .range("16", "1000000"),
        config_size("scratch_max", "128MiB",
                    "What an instance that asks for no limit of its own may write to /tmp and its "
                    "home, which lie in memory.")
            .range("1MiB", ""),
        config_size("io_max", "0B",
                    "Bytes a second that each instance may read from the disk of data_dir, and as "
                    "many that it may write to it; 0B: no limit."),
        config_bool("keep_instances", "true",
                    "Instances run on when this process ends, and the next one goes on with them: "
                    "a restart or an upgrade is not noticed. false: they end with it."),
    });
    return schema;
}

namespace {

void check_host(const Config& config, ConfigProblems& problems) {
    if (config.integer("ports_first") > config.integer("ports_last")) {
        problems.add(config.position("ports_last"), "ports_last {} is below ports_first {}",
                     config.integer("ports_last"), config.integer("ports_first"));
    }
    const std::string_view url = config.string("bus_url");
    const bool is_url = url.starts_with("nats://") && url.size() > 7;
    if (!is_url) {
        problems.add(config.position("bus_url"),
                     "bus_url \"{}\" is not of the form "
                     "\"nats://HOST:PORT\"",
                     printable(url));
    }
    const std::string_view socket = config.string("docker_socket");
    if (!socket.empty() && socket != "off" && !socket.starts_with('/')) {
        problems.add(config.position("docker_socket"),
                     "docker_socket \"{}\" is neither an absolute path nor \"off\"",
                     printable(socket));
    }
    for (const ConfigItem& item : config.items("sandbox_off")) {
        if (std::ranges::find(kWallNames, item.value) != std::end(kWallNames)) continue;
        const auto near = nearest(item.value, kWallNames);
        const std::vector<std::string> names(std::begin(kWallNames), std::end(kWallNames));
        problems.add(item.at, "\"{}\" is none of: {}{}", printable(item.value), join(names, ", "),
                     near ? fmt::format("; did you mean \"{}\"?", *near) : "");
    }
    for (const ConfigItem& item : config.items("sandbox_paths")) {
        if (item.value.starts_with('/') && item.value.size() > 1) continue;
        problems.add(item.at, "\"{}\" is not an absolute path", printable(item.value));
    }
    for (const ConfigItem& item : config.items("signers")) {
        if (auth::parse_public_key(item.value)) continue;
        problems.add(item.at,
                     "\"{}\" is not a public key; write for example \"UA…\", which `candela "
                     "ctl keys list` shows",
                     printable(item.value));
    }
}

std::unique_ptr<Role> create_host(NodeContext& context, const Config& config) {
    return std::make_unique<Host>(context, config);
}

}  // namespace

const RoleSpec kRole{
    .name = "host",
    .summary = "The host: runs instances of services.",
    .schema = host_schema,
    .check = check_host,
    .create = create_host,
    // What a developer started is gone when Ctrl-C is pressed.
    .dev_profile = "keep_instances = false",
};

}  // namespace candela::host
