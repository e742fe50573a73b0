#pragma once

// Where and how the bus listens: what a profile says in [bus] listen, [bus.tls] and
// [bus.websocket], and the entrances made from it.

#include <optional>
#include <string>
#include <vector>

#include "base/config.h"
#include "entrance.h"
#include "loop/address.h"

namespace candela::bus_role {

ConfigKey advertise_key();  // [bus] and [bus.websocket] have one each
ConfigKey tls_key();        // [bus.tls]
ConfigKey websocket_key();  // [bus.websocket]
void check_listening(const Config& bus, ConfigProblems& problems);

struct ListeningConfig {
    explicit ListeningConfig(const Config& bus);

    bool has_tls() const { return !certificate_file.empty(); }

    Address nats;
    std::optional<Address> websocket;
    std::vector<std::string> advertise;  // HOST:PORT each
    std::vector<std::string> websocket_advertise;
    // PEM files; the first is empty where there is no TLS.
    std::string certificate_file;
    std::string key_file;
    std::string client_ca_file;
    bool tls_required = true;
    Entrance::Handshake handshake = Entrance::Handshake::kAfterInfo;
    Duration tls_timeout{};
    bool websocket_tls = false;
    Duration websocket_timeout{};
    http::WebSocketRules websocket_rules;
};

struct TlsFiles {
    tls::KeyPair key_pair;
    std::string client_ca_pem;
};
// Blocks: for a pool thread. Empty without TLS.
Result<TlsFiles> read_tls_files(const ListeningConfig& config);

struct Entrances {
    EntrancePtr nats;
    EntrancePtr websocket;  // null: browsers are not served
};
// `before`, if any: what was made last, whose TLS context goes on with the new certificate, so that
// every loop that holds it uses that from then on. An error changes nothing.
Result<Entrances> make_entrances(const ListeningConfig& config, const TlsFiles& files,
                                 const Entrances* before);

}  // namespace candela::bus_role
