#pragma once

// An ECDSA P-256 key that signs as ES256 does (RFC 7518 §3.4): what accounts at certificate
// authorities are known by. Values; any thread.

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"

struct evp_pkey_st;

namespace candela::tls {

class SigningKey final {
public:
    static Result<SigningKey> generate();
    // From what pem() gave; a key of another kind is kInvalid.
    static Result<SigningKey> load(const Secret& pem);

    Result<Secret> pem() const;
    // The public key's coordinates in base64url (RFC 7518 §6.2.1).
    const std::string& x() const { return x_; }
    const std::string& y() const { return y_; }

    // 64 bytes: r and s.
    Result<std::string> sign(std::string_view bytes) const;
    bool verifies(std::string_view bytes, std::string_view signature) const;

private:
    SigningKey(std::shared_ptr<evp_pkey_st> key, std::string x, std::string y)
        : key_(std::move(key)), x_(std::move(x)), y_(std::move(y)) {}
    static Result<SigningKey> adopt(std::shared_ptr<evp_pkey_st> key);

    std::shared_ptr<evp_pkey_st> key_;
    std::string x_;
    std::string y_;
};

}  // namespace candela::tls
