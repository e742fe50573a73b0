#include "node/profile.h"

#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/text.h"
#include "loop/runtime.h"
#include "service/placement.h"

namespace candela {

namespace {

constexpr std::string_view kBusRole = "bus";  // its section also says how the node reaches the bus

ConfigSchema node_section(std::span<const RoleSpec> table) {
    std::vector<std::string> names;
    for (const RoleSpec& spec : table) names.emplace_back(spec.name);
    ConfigKey roles = config_strings("roles", {}, "What this node is: the roles that it loads.");
    return ConfigSchema({
        config_string("name", "",
                      "Its name in the cloud, unique. Default: the host name, followed by "
                      "the role where there is only one (\"web1-gateway\")."),
        config_string("address", "",
                      "Where other nodes reach it, a name or an IP address. Default: "
                      "nowhere; they go over the bus."),
        config_string_map("labels",
                          "What services are placed by, such as { disk = \"ssd\", zone = \"a\" }."),
        config_string("data_dir", "/var/lib/candela", "Where the roles keep their files."),
        std::move(roles).required().one_of(std::move(names)).at_most(16),
        config_int("workers", "0", "Event loops, one a thread. 0: one a core.").range("0", "256"),
        config_address("endpoint", "127.0.0.1:7401",
                       "Where /healthz, /readyz and /metrics are served, on loopback."),
        config_string("log_level", "info", "What is logged: debug, info, warn or error.")
            .one_of({"debug", "info", "warn", "error"}),
        config_duration("drain_timeout", "30s", "How long a stop waits for what is in flight.")
            .range("0s", "1h"),
    });
}

std::vector<ConfigKey> bus_keys() {
    return {
        config_address("url", "", "HOST:PORT of the bus. Default: the bus role of this node."),
        config_string("credentials", "",
                      "The .creds file that this node logs in with. Default: "
                      "DATA_DIR/identity/creds/ROLE.creds."),
        config_string(
            "ca", "",
            "A PEM file with the authority that the bus's certificate must come from; the "
            "node then speaks to it by TLS only. Default: TLS where the bus asks for it, "
            "and the system's authorities."),
        config_bool("tls_first", "false",
                    "Whether TLS begins before the bus says a word (its handshake = \"first\")."),
        config_string("client_certificate", "",
                      "A PEM file with the certificate that the node shows the bus."),
        config_string("client_key", "", "A PEM file with its private key."),
    };
}

// Nodes of one role often share a machine, and two of the same name would be taken for one.
std::string default_name(const std::vector<const RoleSpec*>& roles) {
    std::string name = host_name();
    if (roles.size() == 1) name += fmt::format("-{}", roles.front()->name);
    return is_node_name(name) ? name : "node";
}

// Required keys are asked for by the reader where the section is written; a role that is loaded
// needs them all the same.
void check_required(const RoleSpec& spec, const Config& config, ConfigProblems& problems) {
    if (config.is_written(spec.name)) return;
    for (const ConfigKey& key : spec.schema().keys()) {
        if (!key.is_required) continue;
        problems.add(config.table("node").position("roles"),
                     "the role \"{}\" needs a section [{}] with the key \"{}\": {}", spec.name,
                     spec.name, key.name, key.help);
    }
}

void read_roles(Profile& profile, std::span<const RoleSpec> table, ConfigProblems& problems) {
    const Config& node = profile.config.table("node");
    std::set<std::string> wanted;
    for (const ConfigItem& item : node.items("roles")) {
        if (wanted.insert(item.value).second) continue;
        problems.add(item.at, "the role \"{}\" is named twice", item.value);
    }
    if (wanted.empty() && node.is_written("roles") && problems.empty()) {
        problems.add(node.position("roles"), "roles is empty: a node has at least one");
    }
    for (const RoleSpec& spec : table) {
        if (!wanted.contains(std::string(spec.name))) continue;
        profile.roles.push_back(&spec);
        check_required(spec, profile.config, problems);
        spec.check(profile.config.table(spec.name), problems);
    }
}

void read_node(Profile& profile, ConfigProblems& problems) {
    const Config& node = profile.config.table("node");
    profile.name = node.string("name");
    if (profile.name.empty()) profile.name = default_name(profile.roles);
    if (!is_node_name(profile.name)) {
        problems.add(node.position("name"),
                     "name: \"{}\" is not a node's name; use letters, digits, "
                     "- and _, at most 63",
                     printable(profile.name, 80));
    }
    profile.address = node.string("address");
    for (const ConfigItem& item : node.items("labels")) {
        const bool is_label =
            service::is_label_key(item.name) && service::is_label_value(item.value);
        if (!is_label || item.name == "node") {
            problems.add(item.at,
                         "labels: {} = \"{}\" is not a label: letters, digits, - _ . and /, at "
                         "most 63; \"node\" is the node's name",
                         printable(item.name, 80), printable(item.value, 80));
        }
        profile.labels.push_back(item.name + "=" + item.value);
    }
    if (profile.labels.size() > service::kLabelsMax) {
        problems.add(node.position("labels"), "labels: {}; at most {} are allowed",
                     profile.labels.size(), service::kLabelsMax);
    }
    profile.data_dir = node.string("data_dir");
    if (!profile.data_dir.is_absolute()) {
        problems.add(node.position("data_dir"), "data_dir must be absolute: begin it with \"/\"");
    }
    profile.workers = static_cast<unsigned>(node.integer("workers"));
    if (profile.workers == 0) profile.workers = Runtime::usable_cores();
    if (auto endpoint = Address::parse(node.string("endpoint"))) {
        profile.endpoint = *endpoint;
        if (!endpoint->is_loopback()) {
            problems.add(node.position("endpoint"),
                         "endpoint must be on loopback (127.0.0.1, [::1] or "
                         "unix:/PATH): anyone who reaches it may read it");
        }
    }
    if (const auto level = parse_log_level(node.string("log_level"))) profile.log_level = *level;
    profile.drain_timeout = node.duration("drain_timeout");
}

void read_bus(Profile& profile, ConfigProblems& problems) {
    const Config& bus = profile.config.table(kBusRole);
    profile.bus_credentials = bus.string("credentials");
    profile.bus_tls_files.authority = bus.string("ca");
    profile.bus_tls_files.certificate = bus.string("client_certificate");
    profile.bus_tls_files.key = bus.string("client_key");
    profile.bus_tls_first = bus.boolean("tls_first");
    if (profile.bus_tls_files.certificate.empty() != profile.bus_tls_files.key.empty()) {
        problems.add(
            bus.position(profile.bus_tls_files.key.empty() ? "client_certificate" : "client_key"),
            "[bus] needs both client_certificate and client_key, or neither");
    }
    if (bus.has_value("url")) {
        if (auto address = Address::parse(bus.string("url"))) profile.bus = *address;
        return;
    }
    if (profile.has_role(kBusRole) || profile.roles.empty()) return;
    const bool is_written = profile.config.is_written(kBusRole);
    const ConfigPosition at =
        is_written ? bus.position() : profile.config.table("node").position("roles");
    problems.add(at,
                 "the bus role is not in this node: [bus] needs url = \"HOST:4222\" of "
                 "the node that has it");
}

}  // namespace

bool Profile::has_role(std::string_view role) const {
    return std::any_of(roles.begin(), roles.end(),
                       [&](const RoleSpec* spec) { return spec->name == role; });
}

bool is_bus_client_key(std::string_view name) {
    const std::vector<ConfigKey> keys = bus_keys();
    return std::any_of(keys.begin(), keys.end(),
                       [&](const ConfigKey& key) { return key.name == name; });
}

std::string host_name() {
    char host[256] = {};
    std::string name = gethostname(host, sizeof host - 1) == 0 ? host : "node";
    std::replace(name.begin(), name.end(), '.', '-');
    return is_node_name(name) ? name : "node";
}

bool is_node_name(std::string_view name) {
    return !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_';
    });
}

ConfigSchema profile_schema(std::span<const RoleSpec> table) {
    ConfigSchema schema;
    schema.add(config_table("node", node_section(table), "The node itself.").required());
    ConfigSchema bus;
    for (ConfigKey& key : bus_keys()) bus.add(std::move(key));
    for (const RoleSpec& spec : table) {
        if (spec.name != kBusRole) continue;
        for (const ConfigKey& key : spec.schema().keys()) {
            CANDELA_CHECK(bus.find(key.name) == nullptr);
            bus.add(key);
        }
    }
    schema.add(config_table(kBusRole, std::move(bus), "How the node reaches the bus."));
    for (const RoleSpec& spec : table) {
        if (spec.name == kBusRole) continue;
        schema.add(config_table(spec.name, spec.schema(), spec.summary));
    }
    return schema;
}

std::optional<Profile> check_profile(Config config, std::span<const RoleSpec> table,
                                     ConfigProblems& problems) {
    Profile profile(std::move(config));
    read_roles(profile, table, problems);
    read_node(profile, problems);  // whose name has the role in it where there is but one
    read_bus(profile, problems);
    if (!problems.empty()) return std::nullopt;
    return profile;
}

std::optional<Profile> read_profile(std::string_view text, std::span<const RoleSpec> table,
                                    ConfigProblems& problems) {
    return check_profile(read_config(text, profile_schema(table), problems), table, problems);
}

}  // namespace candela
