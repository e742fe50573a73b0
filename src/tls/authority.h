#pragma once

// The cloud's own certificate authority: makes an ECDSA P-256 root and issues certificates for
// nodes. Values only: the caller keeps the files. The private key is a Secret in PEM.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "tls/context.h"

namespace candela::tls {

struct CertificateRequest {
    std::string common_name;
    std::vector<std::string> names;  // subject alternative names: DNS names and IP literals
    bool for_server = true;          // extended key usage
    bool for_client = false;
    WallTime now;  // valid from five minutes before, since clocks differ
    Duration lifetime = 24h * 90;
};

struct CertificateInfo {
    std::string subject;  // common name
    std::string issuer;
    std::vector<std::string> names;  // DNS names and IP literals
    WallTime not_before;
    WallTime not_after;
    std::string fingerprint;  // SHA-256 over the DER form, 64 lower-case hex digits
    bool is_authority = false;
};

class Authority final {
public:
    static Result<Authority> create(std::string_view common_name, WallTime now, Duration lifetime);
    // From what ca_pem() and key_pem() gave; fails where the key does not fit the certificate.
    static Result<Authority> load(std::string_view ca_pem, const Secret& key_pem);

    // A new key and a certificate for it, followed by nothing: the root is known to whoever trusts
    // it.
    Result<KeyPair> issue(const CertificateRequest& request) const;
    // The same for a key that its owner keeps: PEM of the public half in, of the certificate out.
    Result<std::string> certify(const CertificateRequest& request,
                                std::string_view public_key_pem) const;

    const std::string& ca_pem() const { return ca_pem_; }
    const Secret& key_pem() const { return key_pem_; }

private:
    Authority(std::string ca_pem, Secret key_pem)
        : ca_pem_(std::move(ca_pem)), key_pem_(std::move(key_pem)) {}
    std::string ca_pem_;
    Secret key_pem_;
};

struct OwnKey {
    Secret key_pem;
    std::string public_pem;
};
// A P-256 key to have certified.
Result<OwnKey> make_own_key();

// Of the first certificate in the text.
Result<CertificateInfo> inspect_certificate(std::string_view certificate_pem);

}  // namespace candela::tls
