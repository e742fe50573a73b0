#pragma once

// What the client of one connection has shown by TLS, and what the authorities of routes say of it:
// each is asked once, and again when the certificate's time is over. Owned by the connection, on
// its loop.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "tls/client_authority.h"
#include "tls/tls_client.h"

namespace candela::http {

class ClientCertificates {
public:
    static constexpr size_t kVerdictsMax = 4;  // of different authorities; the oldest goes

    struct Verdict {
        std::string refusal;  // why it is not good; empty: it is
        std::string subject;
        // What RFC 9440 §2.1 makes of the leaf: ":" base64 ":".
        std::string field;
    };

    explicit ClientCertificates(tls::TlsClient client) : client_(std::move(client)) {}

    // That the client asked for, in lower case; empty: none.
    std::string_view server_name() const { return client_.server_name; }
    bool was_asked() const { return client_.was_asked; }
    bool empty() const { return client_.certificates.empty(); }

    // Good until the next call.
    const Verdict& check(const std::shared_ptr<const tls::ClientAuthority>& authority,
                         WallTime now);

private:
    struct Kept {
        std::shared_ptr<const tls::ClientAuthority> authority;
        Verdict verdict;
        WallTime from{};
        WallTime until{};
    };

    const tls::TlsClient client_;
    std::vector<Kept> kept_;
};

}  // namespace candela::http
