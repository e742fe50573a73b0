#pragma once

// The [gateway.tls] section of a profile, and the certificates that it names.

#include <optional>
#include <string>
#include <vector>

#include "base/config.h"
#include "loop/address.h"
#include "tls/context.h"

namespace candela::gateway {

struct TlsSettings {
    std::optional<Address> listen;  // absent: no TLS
    std::string certificates;       // a folder; empty: none
    Duration handshake_timeout{};
    bool http2 = true;
    Duration ticket_rotation{};

    bool operator==(const TlsSettings&) const = default;
};

ConfigKey tls_key();
TlsSettings read_tls_settings(const Config& gateway);

// Every NAME.crt (or NAME.pem) of the folder with its NAME.key, in the order of the names; one
// called "default" comes first. Blocks: for a pool thread. kNotFound where there is none, or one
// lacks its key. Of no folder (""): none.
Result<std::vector<tls::KeyPair>> read_certificates(const std::string& folder);
tls::ServerOptions server_options(const TlsSettings& settings);

}  // namespace candela::gateway
