#pragma once

// OpenSSL's objects as owned values, and its errors as text. Private to src/tls.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/result.h"
#include "base/secret.h"
#include "base/time.h"

namespace candela::tls {

template <auto kFree>
struct Freer {
    template <class T>
    void operator()(T* object) const {
        kFree(object);
    }
};

using BioPtr = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Freer<X509_free>>;
using SslPtr = std::unique_ptr<SSL, Freer<SSL_free>>;

// The newest error of this thread, and forgets the others. `fallback` where there is none.
std::string take_openssl_error(std::string_view fallback);

// Every certificate in the text; at least one. `what` names the text in errors.
Result<std::vector<X509Ptr>> parse_certificates(std::string_view pem, std::string_view what);
// Never asks for a passphrase: an encrypted key is an error.
Result<KeyPtr> parse_key(const Secret& pem);

std::string to_pem(X509* certificate);
Result<Secret> to_pem(EVP_PKEY* key);

std::string fingerprint_of(const X509* certificate);
std::string common_name_of(const X509_NAME* name);
std::vector<std::string> names_of(const X509* certificate);
WallTime time_of(const ASN1_TIME* time);

// True for an IPv4 or IPv6 literal without brackets.
bool is_ip_literal(std::string_view text);

}  // namespace candela::tls
