#pragma once

// Why a certificate was refused, in words. Private to src/tls.

#include <string>

#include "tls/openssl_impl.h"

namespace candela::tls {

// What the connection's SSL points to as its app data.
struct Verification {
    std::string server_name;  // that the client wants; empty at a server
    std::string problem;      // the first one found
};

// What an X509_V_ERR_… means for that certificate. `server_name` is what a client wanted.
std::string describe_verification(int error, X509* certificate, const std::string& server_name);

// OpenSSL's verify callback: decides nothing, and notes the first problem in the Verification.
int note_verification(int ok, X509_STORE_CTX* store);

// In place of X509_verify_cert(): trusts nothing but the certificate with that fingerprint (a
// std::string) among those that the server has sent.
int verify_by_authority(X509_STORE_CTX* store, void* fingerprint);

}  // namespace candela::tls
