#pragma once

// What a TLS connection is set up from: certificates and trust. Contexts are shared by any number
// of connections on any loop; every method may be called from any thread.

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

struct ssl_ctx_st;

namespace candela::tls {

class TicketKeys;

using SslCtxPtr = std::shared_ptr<ssl_ctx_st>;

struct KeyPair {
    std::string certificate_pem;  // the leaf first, then intermediates
    Secret key_pem;
};

struct ServerOptions {
    // Offered by ALPN, by preference. A client that offers none of them is refused (RFC 7301 §3.2).
    std::vector<std::string> alpn = {"http/1.1"};
    // PEM of the CA that clients' certificates must come from; empty: clients need none.
    std::string client_ca_pem;
    // Whether the first certificate is shown to who asks for a name that none has, or for no name.
    // Otherwise they get the alert unrecognized_name, and there may be no certificate at all.
    bool has_default = true;
    // What session tickets are made with (ticket_keys.h); null: keys that end with this set of
    // certificates. A session is resumed only under the server name that it began with.
    std::shared_ptr<TicketKeys> ticket_keys;
};

// The protocol by which an authority looks at a name's challenge (RFC 8737 §3). A connection that
// has agreed on it carries nothing.
inline constexpr std::string_view kChallengeAlpn = "acme-tls/1";

struct ChallengeCertificate {
    std::string name;
    KeyPair key_pair;  // made by make_challenge_certificate()
};

// TLS 1.2 and 1.3, forward secrecy only.
class ServerContext final {
public:
    static Result<std::shared_ptr<ServerContext>> create(const KeyPair& key_pair,
                                                         const ServerOptions& options);
    // Several certificates: a client is shown the one that has the name it asks for (SNI, RFC 6066
    // §3), exactly or by a wildcard, otherwise the first.
    static Result<std::shared_ptr<ServerContext>> create(std::span<const KeyPair> key_pairs,
                                                         const ServerOptions& options);
    struct Challenges;
    ServerContext(SslCtxPtr context, ServerOptions options, std::shared_ptr<Challenges> challenges);

    // New connections use the new certificate, those open keep theirs. An error changes nothing.
    Result<> swap(const KeyPair& key_pair);
    Result<> swap(std::span<const KeyPair> key_pairs);
    // The same, with another authority for clients' certificates or other names.
    Result<> swap(const KeyPair& key_pair, const ServerOptions& options);
    Result<> swap(std::span<const KeyPair> key_pairs, const ServerOptions& options);
    // What authorities that ask for these names by kChallengeAlpn are shown, instead of what they
    // were shown before. An error changes nothing.
    Result<> set_challenges(std::span<const ChallengeCertificate> challenges);
    SslCtxPtr current() const;

private:
    ServerOptions options() const;

    mutable std::mutex mutex_;
    ServerOptions options_;
    SslCtxPtr context_;
    const std::shared_ptr<Challenges> challenges_;
};

struct ClientOptions {
    // One of them: a CA that the server's certificate must come from; the SHA-256 fingerprint (64
    // hex digits) of the very certificate; or that of a CA, which the server must send along with
    // its certificate. With none, the system's CAs are trusted.
    std::string ca_pem;
    std::string pinned_fingerprint;
    std::string pinned_authority;
    std::vector<std::string> alpn = {"http/1.1"};
    // The certificate shown to the server, where it asks for one.
    const KeyPair* key_pair = nullptr;
};

class ClientContext final {
public:
    static Result<std::shared_ptr<ClientContext>> create(const ClientOptions& options);
    ClientContext(SslCtxPtr context, std::string pinned_fingerprint,
                  std::unique_ptr<const std::string> pinned_authority)
        : pinned_authority_(std::move(pinned_authority)),
          context_(std::move(context)),
          pinned_fingerprint_(std::move(pinned_fingerprint)) {}

    const SslCtxPtr& current() const { return context_; }
    const std::string& pinned_fingerprint() const { return pinned_fingerprint_; }

private:
    const std::unique_ptr<const std::string> pinned_authority_;  // the context points to it
    const SslCtxPtr context_;
    const std::string pinned_fingerprint_;  // lower-case hex, or empty
};

}  // namespace candela::tls
