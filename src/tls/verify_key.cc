#include "tls/verify_key.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>

#include <string>

#include "tls/openssl_impl.h"

namespace candela::tls {
namespace {

constexpr int kRsaBitsMin = 2048;
constexpr int kRsaBitsMax = 8192;  // beyond, a check would hold up a loop
constexpr size_t kP256Bytes = 32;

using NumberPtr = std::unique_ptr<BIGNUM, Freer<BN_free>>;
using BuilderPtr = std::unique_ptr<OSSL_PARAM_BLD, Freer<OSSL_PARAM_BLD_free>>;
using ParamsPtr = std::unique_ptr<OSSL_PARAM, Freer<OSSL_PARAM_free>>;
using KeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, Freer<EVP_PKEY_CTX_free>>;
using DigestContextPtr = std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>>;
using SignaturePtr = std::unique_ptr<ECDSA_SIG, Freer<ECDSA_SIG_free>>;

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

NumberPtr number_of(std::string_view bytes) {
    return NumberPtr(BN_bin2bn(bytes_of(bytes), static_cast<int>(bytes.size()), nullptr));
}

Result<KeyPtr> make_key(const char* type, OSSL_PARAM_BLD* builder) {
    const ParamsPtr params(OSSL_PARAM_BLD_to_param(builder));
    const KeyContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
    EVP_PKEY* key = nullptr;
    const bool is_made =
        params != nullptr && context != nullptr && EVP_PKEY_fromdata_init(context.get()) == 1 &&
        EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) == 1;
    if (!is_made) return fail(Code::kInvalid, "{}", take_openssl_error("the key is none"));
    return KeyPtr(key);
}

// From the two numbers side by side to the sequence that OpenSSL reads; empty where they are none.
std::string der_signature(std::string_view signature) {
    if (signature.size() != 2 * kP256Bytes) return {};
    const SignaturePtr made(ECDSA_SIG_new());
    NumberPtr r = number_of(signature.substr(0, kP256Bytes));
    NumberPtr s = number_of(signature.substr(kP256Bytes));
    if (made == nullptr || r == nullptr || s == nullptr) return {};
    ECDSA_SIG_set0(made.get(), r.release(), s.release());
    unsigned char* der = nullptr;
    const int size = i2d_ECDSA_SIG(made.get(), &der);
    if (size <= 0) return {};
    std::string out(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
    OPENSSL_free(der);
    return out;
}

}  // namespace

struct VerifyKey::Key {
    KeyPtr key;
};

Result<VerifyKey> VerifyKey::from_rsa(std::string_view modulus, std::string_view exponent) {
    if (modulus.size() > kRsaBitsMax / 8 || exponent.empty() || exponent.size() > 8) {
        return fail(Code::kInvalid, "an RSA key has at most {} bits", kRsaBitsMax);
    }
    const BuilderPtr builder(OSSL_PARAM_BLD_new());
    const NumberPtr n = number_of(modulus);
    const NumberPtr e = number_of(exponent);
    OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
    OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
    CANDELA_TRY_ASSIGN(KeyPtr key, make_key("RSA", builder.get()));
    if (EVP_PKEY_get_bits(key.get()) < kRsaBitsMin) {
        return fail(Code::kInvalid, "an RSA key has at least {} bits", kRsaBitsMin);
    }
    return VerifyKey(SignatureAlgorithm::kRs256, std::make_shared<Key>(Key{std::move(key)}));
}

Result<VerifyKey> VerifyKey::from_p256(std::string_view x, std::string_view y) {
    if (x.size() != kP256Bytes || y.size() != kP256Bytes) {
        return fail(Code::kInvalid, "the coordinates of a P-256 key have 32 bytes each");
    }
    std::string point("\x04");  // uncompressed
    point.append(x).append(y);
    const BuilderPtr builder(OSSL_PARAM_BLD_new());
    OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
    OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                     point.size());
    CANDELA_TRY_ASSIGN(KeyPtr key, make_key("EC", builder.get()));
    return VerifyKey(SignatureAlgorithm::kEs256, std::make_shared<Key>(Key{std::move(key)}));
}

Result<VerifyKey> VerifyKey::from_ed25519(std::string_view bytes) {
    if (bytes.size() != 32) return fail(Code::kInvalid, "an Ed25519 key has 32 bytes");
    KeyPtr key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(bytes), 32));
    if (key == nullptr) return fail(Code::kInvalid, "{}", take_openssl_error("the key is none"));
    return VerifyKey(SignatureAlgorithm::kEdDsa, std::make_shared<Key>(Key{std::move(key)}));
}

bool VerifyKey::verify(std::string_view message, std::string_view signature) const {
    const std::string der =
        algorithm_ == SignatureAlgorithm::kEs256 ? der_signature(signature) : std::string();
    if (algorithm_ == SignatureAlgorithm::kEs256) signature = der;
    const DigestContextPtr context(EVP_MD_CTX_new());
    const EVP_MD* digest = algorithm_ == SignatureAlgorithm::kEdDsa ? nullptr : EVP_sha256();
    const bool is_valid =
        context != nullptr && !signature.empty() &&
        EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key_->key.get()) == 1 &&
        EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message),
                         message.size()) == 1;
    if (!is_valid) take_openssl_error("");  // what OpenSSL keeps of it is nobody's business
    return is_valid;
}

}  // namespace candela::tls
