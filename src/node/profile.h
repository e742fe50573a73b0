#pragma once

// A profile is the TOML file that says what a node is: [node] and [bus], which this folder reads,
// and one section a role, whose keys come from the role's RoleSpec. A value; reading it touches no
// disk.

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/log.h"
#include "bus/client_tls.h"
#include "loop/address.h"
#include "node/role.h"

namespace candela {

struct Profile {
    explicit Profile(Config c) : config(std::move(c)) {}

    Config config;  // all of it; a role's section by its name
    std::string name;
    std::string address;              // where others reach this node, or empty
    std::vector<std::string> labels;  // "disk=ssd", what services are placed by
    std::filesystem::path data_dir;
    std::vector<const RoleSpec*> roles;  // in the order of their start
    unsigned workers = 1;
    Address endpoint;
    LogLevel log_level = LogLevel::kInfo;
    Duration drain_timeout{};
    std::optional<Address> bus;   // absent: the bus role in this process
    std::string bus_credentials;  // a .creds file; empty: DIR/identity/creds/<role>.creds
    bus::ClientTlsFiles bus_tls_files;
    bool bus_tls_first = false;

    bool has_role(std::string_view role) const;
};

// The roles' table is in the order in which they start.
ConfigSchema profile_schema(std::span<const RoleSpec> table);

// Reads and checks everything; absent where there were problems.
std::optional<Profile> read_profile(std::string_view text, std::span<const RoleSpec> table,
                                    ConfigProblems& problems);

// The same checks on a Config made otherwise (`candela dev`).
std::optional<Profile> check_profile(Config config, std::span<const RoleSpec> table,
                                     ConfigProblems& problems);

// Whether the key of [bus] says how a node reaches the bus, rather than what the bus role does.
bool is_bus_client_key(std::string_view name);

// The machine's host name, in a form in which a node may be called so.
std::string host_name();

// Whether a node may be called so: it becomes a token of bus subjects.
bool is_node_name(std::string_view name);

}  // namespace candela
