#pragma once

// What is sent to and shown to certificate authorities (RFC 8555, RFC 8737), and the check of what
// comes back or is brought by hand. Values; any thread.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "tls/authority.h"
#include "tls/context.h"

namespace candela::tls {

struct SigningRequest {
    std::string der;  // PKCS #10 (RFC 2986)
    Secret key_pem;   // ECDSA P-256
};

// A request for a certificate of these DNS names, with a new key.
Result<SigningRequest> make_signing_request(const std::vector<std::string>& names);
// The same with a key that was made before.
Result<std::string> make_signing_request(const std::vector<std::string>& names,
                                         const Secret& key_pem);

// RFC 8737 §3: the certificate by which a server proves that a name is its own. `digest` is the
// SHA-256 (32 bytes) of the key authorization.
Result<KeyPair> make_challenge_certificate(const std::string& name, std::string_view digest,
                                           WallTime now);

// What is wrong with a chain and its key, if anything is: not PEM, a key that does not belong to
// the leaf, a leaf that is not first, a chain with a gap, no names, expired or not yet valid.
Result<CertificateInfo> check_key_pair(const KeyPair& pair, WallTime now);

// Whether the certificate is good for the name, exactly or by a wildcard.
bool covers(const CertificateInfo& certificate, std::string_view name);

}  // namespace candela::tls
