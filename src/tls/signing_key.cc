#include "tls/signing_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>

#include "base/encoding.h"
#include "tls/openssl_impl.h"

namespace candela::tls {

namespace {

constexpr int kNumberBytes = 32;

using NumberPtr = std::unique_ptr<BIGNUM, Freer<BN_free>>;
using DigestPtr = std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>>;
using PointPtr = std::unique_ptr<ECDSA_SIG, Freer<ECDSA_SIG_free>>;

std::unexpected<Error> internal(std::string_view what) {
    return fail(Code::kInternal, "{}: {}", what, take_openssl_error("failed"));
}

Result<std::string> coordinate(const EVP_PKEY* key, const char* name) {
    BIGNUM* number = nullptr;
    if (EVP_PKEY_get_bn_param(key, name, &number) != 1) return internal("reading a public key");
    const NumberPtr owner(number);
    uint8_t bytes[kNumberBytes];
    if (BN_bn2binpad(number, bytes, kNumberBytes) != kNumberBytes) {
        return internal("reading a public key");
    }
    return base64url_encode(bytes);
}

}  // namespace

Result<SigningKey> SigningKey::adopt(std::shared_ptr<evp_pkey_st> key) {
    CANDELA_TRY_ASSIGN(std::string x, coordinate(key.get(), OSSL_PKEY_PARAM_EC_PUB_X));
    CANDELA_TRY_ASSIGN(std::string y, coordinate(key.get(), OSSL_PKEY_PARAM_EC_PUB_Y));
    return SigningKey(std::move(key), std::move(x), std::move(y));
}

Result<SigningKey> SigningKey::generate() {
    KeyPtr key(EVP_EC_gen("P-256"));
    if (key == nullptr) return internal("making a key");
    return adopt(std::move(key));
}

Result<SigningKey> SigningKey::load(const Secret& pem) {
    CANDELA_TRY_ASSIGN(KeyPtr key, parse_key(pem));
    char group[32] = {};
    size_t size = 0;
    if (EVP_PKEY_is_a(key.get(), "EC") != 1 ||
        EVP_PKEY_get_group_name(key.get(), group, sizeof group, &size) != 1 ||
        std::string_view(group, size) != "prime256v1") {
        take_openssl_error("");
        return fail(Code::kInvalid, "the signing key is not one of the curve P-256");
    }
    return adopt(std::move(key));
}

Result<Secret> SigningKey::pem() const { return to_pem(key_.get()); }

Result<std::string> SigningKey::sign(std::string_view bytes) const {
    const DigestPtr digest(EVP_MD_CTX_new());
    uint8_t der[80];  // two numbers of 33 bytes at most, with their tags
    size_t der_size = sizeof der;
    const auto* const data = reinterpret_cast<const uint8_t*>(bytes.data());
    if (EVP_DigestSignInit(digest.get(), nullptr, EVP_sha256(), nullptr, key_.get()) != 1 ||
        EVP_DigestSign(digest.get(), der, &der_size, data, bytes.size()) != 1) {
        return internal("signing");
    }
    const uint8_t* at = der;
    const PointPtr point(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der_size)));
    std::string out(static_cast<size_t>(2 * kNumberBytes), '\0');
    auto* const to = reinterpret_cast<uint8_t*>(out.data());
    if (point == nullptr ||
        BN_bn2binpad(ECDSA_SIG_get0_r(point.get()), to, kNumberBytes) != kNumberBytes ||
        BN_bn2binpad(ECDSA_SIG_get0_s(point.get()), to + kNumberBytes, kNumberBytes) !=
            kNumberBytes) {
        return internal("signing");
    }
    return out;
}

bool SigningKey::verifies(std::string_view bytes, std::string_view signature) const {
    if (signature.size() != static_cast<size_t>(2 * kNumberBytes)) return false;
    const auto* const from = reinterpret_cast<const uint8_t*>(signature.data());
    const PointPtr point(ECDSA_SIG_new());
    ECDSA_SIG_set0(point.get(), BN_bin2bn(from, kNumberBytes, nullptr),
                   BN_bin2bn(from + kNumberBytes, kNumberBytes, nullptr));
    uint8_t* der = nullptr;
    const int der_size = i2d_ECDSA_SIG(point.get(), &der);
    const DigestPtr digest(EVP_MD_CTX_new());
    const bool is_right =
        der_size > 0 &&
        EVP_DigestVerifyInit(digest.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1 &&
        EVP_DigestVerify(digest.get(), der, static_cast<size_t>(der_size),
                         reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()) == 1;
    OPENSSL_free(der);
    take_openssl_error("");
    return is_right;
}

}  // namespace candela::tls
