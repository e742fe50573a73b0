#pragma once

// How clients come in by one listener: in the clear or by TLS, as bytes of the protocol or in
// WebSocket frames. A value that any loop may apply to what it accepts (reception.h); immutable,
// and exchanged whole when the profile is read anew, so that open connections keep theirs.

#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "http/websocket_accept.h"
#include "tls/context.h"

namespace candela::bus_role {

// What a user's allowed_connection_types speak of.
enum class ConnectionType : uint8_t { kStandard, kWebSocket, kInProcess };

struct Entrance {
    enum class Handshake : uint8_t {
        kAfterInfo,  // as nats-server by default: INFO in the clear, then both upgrade
        kFirst,      // nothing is sent in the clear
        kAuto,       // first, where the client begins it soon; after INFO otherwise
    };
    // How long kAuto waits for the client to begin.
    static constexpr Duration kAutoWait = 50ms;

    ConnectionType type = ConnectionType::kStandard;
    std::shared_ptr<tls::ServerContext> tls;  // null: no TLS
    bool tls_required = true;                 // false: the client's choice, after INFO
    Handshake handshake = Handshake::kAfterInfo;
    Duration handshake_timeout = 2s;     // of TLS, and of WebSocket's request
    http::WebSocketRules websocket;      // with kWebSocket
    std::vector<std::string> advertise;  // INFO's connect_urls: where else clients may go

    // A client is asked, or may choose, to upgrade once it has seen INFO.
    bool upgrades_after_info() const {
        return tls != nullptr && type == ConnectionType::kStandard &&
               handshake != Handshake::kFirst;
    }
};

using EntrancePtr = std::shared_ptr<const Entrance>;

// In the clear: TCP, unix sockets, or the roles of this process.
inline EntrancePtr plain_entrance(ConnectionType type = ConnectionType::kStandard) {
    auto entrance = std::make_shared<Entrance>();
    entrance->type = type;
    return entrance;
}

}  // namespace candela::bus_role
