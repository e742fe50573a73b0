#pragma once

// Which lighthouse to talk to, and as whom: found from flags, the environment, the context file, a
// running `candela dev`, or the packaged node's socket, in this order. Blocking reads of small
// files.

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "loop/address.h"

namespace candela::ctl {

struct TargetOptions {
    std::string address;      // unix:PATH, https://HOST:PORT
    std::string creds;        // a .creds file
    std::string ca;           // a PEM file that the server's certificate must come from
    std::string fingerprint;  // or: SHA-256 of the certificate, 64 hex digits
    std::string space;
};

struct Target {
    Address address;
    bool tls = false;
    std::string creds_file;
    std::string ca_file;
    std::string fingerprint;
    std::string space;   // "default" where nothing says otherwise
    std::string origin;  // where the address was found, for error texts
};

// Where things are; tests put others in.
struct TargetPlaces {
    std::function<std::string(const char* name)> environment;  // "" where it is not set
    std::filesystem::path context_file;                        // ~/.config/candela/context.toml
    std::filesystem::path dev_state_file;                      // ~/.local/state/candela/dev.json
    std::vector<std::filesystem::path> sockets;                // of a packaged node

    static TargetPlaces usual();
};

// kUnreachable, with what to do, where there is none; kInvalid for what can't be understood.
Result<Target> find_target(const TargetOptions& options, const TargetPlaces& places);

// "unix:/p", "https://h", "https://h:7400".
Result<std::pair<Address, bool>> parse_target_address(std::string_view text);

}  // namespace candela::ctl
