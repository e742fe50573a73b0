#pragma once

// What clients show to prove who they are: a certificate of an authority that a route trusts. The
// handshake only sees to it that the client has the certificate's key; whether the certificate is
// good is asked of the authority, request by request, so that a change of routes holds for
// connections that are open. Values; any thread.

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace candela::tls {

// Of the leaf, and of all that a client shows.
inline constexpr size_t kClientCertificateBytesMax = 8 * 1024;
inline constexpr size_t kClientChainMax = 8;

struct ClientIdentity {
    std::string subject;  // RFC 4514, in ASCII: "CN=alice,O=Example"
    WallTime not_before{};
    WallTime not_after{};
};

class ClientAuthority final {
public:
    struct Parts;

    // One or several certificates in PEM, each an anchor of its own: roots, intermediates, or the
    // very certificates of clients.
    static Result<std::shared_ptr<const ClientAuthority>> create(std::string_view pem);
    explicit ClientAuthority(std::unique_ptr<Parts> parts);
    ~ClientAuthority();

    // The certificates in DER, the leaf first. kDenied says why it is not good.
    Result<ClientIdentity> verify(std::span<const std::string> chain, WallTime now) const;

    const Parts& parts() const { return *parts_; }

private:
    std::unique_ptr<Parts> parts_;
};

}  // namespace candela::tls
