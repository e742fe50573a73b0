#pragma once

// How a client's connections to the bus are encrypted. Within a process they never are.

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "tls/context.h"

namespace candela::bus {

struct ClientTls {
    // Asked at each connect, so that renewed certificates are used without further ado. Empty: the
    // system's authorities are trusted.
    std::function<Result<std::shared_ptr<tls::ClientContext>>()> context;
    bool is_required = false;  // a bus that does not ask for TLS is not trusted with a login
    bool is_first = false;     // begins before INFO
};

struct ClientTlsFiles {
    std::string authority;  // PEM; empty: the system's authorities
    std::string certificate;
    std::string key;  // of the certificate shown to the bus; both or none
};

// Reads the files at each connect.
ClientTls client_tls_from_files(ClientTlsFiles files);

}  // namespace candela::bus
