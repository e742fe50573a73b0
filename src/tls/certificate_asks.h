#pragma once

// Which clients of a server are asked for a certificate, by the host that they ask for (SNI). Any
// thread.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "tls/client_authority.h"

namespace candela::tls {

class ServerContext;

// So much of the authorities' names goes into a handshake; where there are more, none does, and
// clients choose for themselves.
inline constexpr size_t kSubjectBytesMax = 8 * 1024;

// Clients that ask for this host are asked for a certificate, which they may leave out. The
// authority is named to them; whoever serves the request must ask it whether the certificate is
// good (client_authority.h).
struct CertificateAsk {
    std::string host;  // in lower case; "*.example.org" for any label in front; empty: all
    std::shared_ptr<const ClientAuthority> authority;
};

// Whom to ask from now on, whatever certificates the context has or gets. Sessions of those are
// never resumed: each connection shows that its client has the key. Not for a context whose
// options have client_ca_pem.
void set_certificate_asks(const ServerContext& context, std::span<const CertificateAsk> asks);

}  // namespace candela::tls
