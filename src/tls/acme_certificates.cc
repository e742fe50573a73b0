#include "tls/acme_certificates.h"

#include <algorithm>

#include "base/text.h"
#include "tls/certificate_parts_impl.h"

namespace candela::tls {

namespace {

// Clocks differ, and an authority looks at once.
constexpr Duration kClockTolerance = 1h;
constexpr Duration kChallengeLifetime = 24h * 7;
constexpr size_t kDigestBytes = 32;

using RequestPtr = std::unique_ptr<X509_REQ, Freer<X509_REQ_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>>;
using ObjectPtr = std::unique_ptr<ASN1_OBJECT, Freer<ASN1_OBJECT_free>>;
using OctetsPtr = std::unique_ptr<ASN1_OCTET_STRING, Freer<ASN1_OCTET_STRING_free>>;

std::unexpected<Error> internal(std::string_view what) {
    return fail(Code::kInternal, "{}: {}", what, take_openssl_error("failed"));
}

bool add_names(X509_REQ* request, const std::string& names) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, nullptr, nullptr, request, nullptr, 0);
    const ExtensionPtr extension(
        X509V3_EXT_conf_nid(nullptr, &context, NID_subject_alt_name, names.c_str()));
    if (extension == nullptr) return false;
    STACK_OF(X509_EXTENSION)* const list = sk_X509_EXTENSION_new_null();
    sk_X509_EXTENSION_push(list, extension.get());
    const int added = X509_REQ_add_extensions(request, list);
    sk_X509_EXTENSION_free(list);
    return added == 1;
}

// RFC 8737 §3: critical, an octet string (tag 4) within the extension's own.
bool add_acme_identifier(X509* certificate, std::string_view digest) {
    const ObjectPtr id(OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1));
    std::string value = {'\x04', static_cast<char>(kDigestBytes)};
    value += digest;
    const OctetsPtr octets(ASN1_OCTET_STRING_new());
    if (id == nullptr || octets == nullptr ||
        ASN1_OCTET_STRING_set(octets.get(), reinterpret_cast<const uint8_t*>(value.data()),
                              static_cast<int>(value.size())) != 1) {
        return false;
    }
    const ExtensionPtr extension(X509_EXTENSION_create_by_OBJ(nullptr, id.get(), 1, octets.get()));
    return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

}  // namespace

Result<std::string> make_signing_request(const std::vector<std::string>& names,
                                         const Secret& key_pem) {
    if (names.empty()) return fail(Code::kInvalid, "a certificate for no name");
    CANDELA_TRY_ASSIGN(const std::string list, alternative_names(names));
    CANDELA_TRY_ASSIGN(const KeyPtr key, parse_key(key_pem));
    const RequestPtr request(X509_REQ_new());
    // The subject stays empty: authorities look at the names only (RFC 8555 §7.4).
    if (request == nullptr || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
        !add_names(request.get(), list) || X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
        X509_REQ_sign(request.get(), key.get(), EVP_sha256()) <= 0) {
        return internal("making a certificate request");
    }
    uint8_t* der = nullptr;
    const int size = i2d_X509_REQ(request.get(), &der);
    if (size <= 0) return internal("making a certificate request");
    std::string out(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
    OPENSSL_free(der);
    return out;
}

Result<SigningRequest> make_signing_request(const std::vector<std::string>& names) {
    const KeyPtr key(EVP_EC_gen("P-256"));
    if (key == nullptr) return internal("making a key");
    SigningRequest request;
    CANDELA_TRY_ASSIGN(request.key_pem, to_pem(key.get()));
    CANDELA_TRY_ASSIGN(request.der, make_signing_request(names, request.key_pem));
    return request;
}

Result<KeyPair> make_challenge_certificate(const std::string& name, std::string_view digest,
                                           WallTime now) {
    if (digest.size() != kDigestBytes) {
        return fail(Code::kInvalid, "a digest of {} bytes where it has {}", digest.size(),
                    kDigestBytes);
    }
    CANDELA_TRY_ASSIGN(const std::string names, alternative_names({name}));
    const KeyPtr key(EVP_EC_gen("P-256"));
    const X509Ptr certificate(X509_new());
    X509* const x509 = certificate.get();
    if (key == nullptr || x509 == nullptr) return internal("making a key");
    const bool made = X509_set_version(x509, X509_VERSION_3) == 1 && set_random_serial(x509) &&
                      set_times(x509, now - kClockTolerance, now + kChallengeLifetime) &&
                      set_common_name(X509_get_subject_name(x509), "challenge") &&
                      X509_set_issuer_name(x509, X509_get_subject_name(x509)) == 1 &&
                      X509_set_pubkey(x509, key.get()) == 1 &&
                      add_extension(x509, x509, NID_subject_alt_name, names.c_str()) &&
                      add_acme_identifier(x509, digest) &&
                      X509_sign(x509, key.get(), EVP_sha256()) > 0;
    if (!made) return internal("making a certificate");
    KeyPair pair;
    pair.certificate_pem = to_pem(x509);
    CANDELA_TRY_ASSIGN(pair.key_pem, to_pem(key.get()));
    return pair;
}

Result<CertificateInfo> check_key_pair(const KeyPair& pair, WallTime now) {
    CANDELA_TRY_ASSIGN(const std::vector<X509Ptr> chain,
                       parse_certificates(pair.certificate_pem, "the certificate"));
    CANDELA_TRY_ASSIGN(const KeyPtr key, parse_key(pair.key_pem));
    CANDELA_TRY_ASSIGN(CertificateInfo info, inspect_certificate(pair.certificate_pem));
    if (X509_check_private_key(chain.front().get(), key.get()) != 1) {
        take_openssl_error("");
        const bool is_of_another =
            std::any_of(chain.begin() + 1, chain.end(), [&](const X509Ptr& other) {
                return X509_check_private_key(other.get(), key.get()) == 1;
            });
        take_openssl_error("");
        if (is_of_another) {
            return fail(Code::kInvalid,
                        "the chain is in the wrong order: the certificate that the key belongs to "
                        "comes first");
        }
        return fail(Code::kInvalid, "the key does not belong to the certificate of \"{}\"",
                    info.subject);
    }
    for (size_t index = 1; index < chain.size(); ++index) {
        if (X509_check_issued(chain[index].get(), chain[index - 1].get()) == X509_V_OK) continue;
        return fail(Code::kInvalid,
                    "the chain is broken: \"{}\" was not issued by \"{}\", which follows it",
                    common_name_of(X509_get_subject_name(chain[index - 1].get())),
                    common_name_of(X509_get_subject_name(chain[index].get())));
    }
    if (info.names.empty()) {
        return fail(Code::kInvalid,
                    "the certificate of \"{}\" names no host (subjectAltName), and clients look "
                    "at nothing else",
                    info.subject);
    }
    if (info.not_after <= now) {
        return fail(Code::kInvalid, "the certificate of \"{}\" expired on {}", info.subject,
                    format_rfc3339(info.not_after));
    }
    if (info.not_before > now + kClockTolerance) {
        return fail(Code::kInvalid, "the certificate of \"{}\" is not valid before {}",
                    info.subject, format_rfc3339(info.not_before));
    }
    return info;
}

bool covers(const CertificateInfo& certificate, std::string_view name) {
    const size_t dot = name.find('.');
    return std::any_of(
        certificate.names.begin(), certificate.names.end(), [&](const std::string& own) {
            if (ascii_iequals(own, name)) return true;
            return own.starts_with("*.") && dot != std::string_view::npos && dot != 0 &&
                   ascii_iequals(std::string_view(own).substr(1), name.substr(dot));
        });
}

}  // namespace candela::tls
