#include "tls/authority.h"

#include <algorithm>

#include <openssl/pem.h>

#include "base/text.h"
#include "tls/certificate_parts_impl.h"

namespace candela::tls {

namespace {

// Clocks differ: a certificate made here must be good there at once.
constexpr Duration kClockTolerance = 5min;

std::unexpected<Error> internal(std::string_view what) {
    return fail(Code::kInternal, "{}: {}", what, take_openssl_error("failed"));
}

Result<> check_common_name(std::string_view name) {
    // 64 is the limit of X.520's ub-common-name.
    if (name.empty() || name.size() > 64 || !is_valid_utf8(name)) {
        return fail(Code::kInvalid, "\"{}\" can't be a certificate's name: 1 to 64 bytes",
                    printable(name));
    }
    return {};
}

// Of a P-256 key, which is all that make_own_key() makes.
Result<KeyPtr> parse_public_key(std::string_view pem) {
    const BioPtr in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    KeyPtr key(in == nullptr ? nullptr : PEM_read_bio_PUBKEY(in.get(), nullptr, nullptr, nullptr));
    char group[32] = {};
    const bool is_fit = key != nullptr &&
                        EVP_PKEY_get_group_name(key.get(), group, sizeof group, nullptr) == 1 &&
                        std::string_view(group) == "prime256v1";
    if (is_fit) return key;
    take_openssl_error("");
    return fail(Code::kInvalid, "the public key is not one of P-256 in PEM");
}

}  // namespace

Result<Authority> Authority::create(std::string_view common_name, WallTime now, Duration lifetime) {
    CANDELA_TRY(check_common_name(common_name));
    const KeyPtr key(EVP_EC_gen("P-256"));
    const X509Ptr certificate(X509_new());
    X509* const x509 = certificate.get();
    if (key == nullptr || x509 == nullptr) return internal("making a key");
    const bool made =
        X509_set_version(x509, X509_VERSION_3) == 1 && set_random_serial(x509) &&
        set_times(x509, now - kClockTolerance, now + lifetime) &&
        set_common_name(X509_get_subject_name(x509), common_name) &&
        X509_set_issuer_name(x509, X509_get_subject_name(x509)) == 1 &&
        X509_set_pubkey(x509, key.get()) == 1 &&
        add_extension(x509, x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_extension(x509, x509, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        add_extension(x509, x509, NID_subject_key_identifier, "hash") &&
        X509_sign(x509, key.get(), EVP_sha256()) > 0;
    if (!made) return internal("making a certificate authority");
    CANDELA_TRY_ASSIGN(Secret key_pem, to_pem(key.get()));
    return Authority(to_pem(x509), std::move(key_pem));
}

Result<Authority> Authority::load(std::string_view ca_pem, const Secret& key_pem) {
    CANDELA_TRY_ASSIGN(const std::vector<X509Ptr> certificates,
                       parse_certificates(ca_pem, "the authority's certificate"));
    CANDELA_TRY_ASSIGN(const KeyPtr key, parse_key(key_pem));
    X509* const x509 = certificates.front().get();
    if (X509_check_private_key(x509, key.get()) != 1) {
        take_openssl_error("");
        return fail(Code::kInvalid, "the authority's key does not belong to its certificate");
    }
    if (X509_check_ca(x509) != 1) {
        return fail(Code::kInvalid, "the certificate of \"{}\" is not an authority's",
                    common_name_of(X509_get_subject_name(x509)));
    }
    return Authority(to_pem(x509), key_pem.clone());
}

Result<KeyPair> Authority::issue(const CertificateRequest& request) const {
    CANDELA_TRY_ASSIGN(OwnKey key, make_own_key());
    KeyPair pair;
    CANDELA_TRY_ASSIGN(pair.certificate_pem, certify(request, key.public_pem));
    pair.key_pem = std::move(key.key_pem);
    return pair;
}

Result<std::string> Authority::certify(const CertificateRequest& request,
                                       std::string_view public_key_pem) const {
    CANDELA_TRY(check_common_name(request.common_name));
    CANDELA_TRY_ASSIGN(const std::string names, alternative_names(request.names));
    CANDELA_TRY_ASSIGN(const std::vector<X509Ptr> authority,
                       parse_certificates(ca_pem_, "the authority's certificate"));
    CANDELA_TRY_ASSIGN(const KeyPtr authority_key, parse_key(key_pem_));
    CANDELA_TRY_ASSIGN(const KeyPtr key, parse_public_key(public_key_pem));
    X509* const issuer = authority.front().get();

    const WallTime not_after =
        std::min(request.now + request.lifetime, time_of(X509_get0_notAfter(issuer)));
    if (not_after <= request.now) {
        return fail(Code::kInvalid, "the authority's certificate expired on {}",
                    format_rfc3339(time_of(X509_get0_notAfter(issuer))));
    }
    std::string purposes;
    if (request.for_server) purposes = "serverAuth";
    if (request.for_client) purposes += purposes.empty() ? "clientAuth" : ",clientAuth";
    if (purposes.empty())
        return fail(Code::kInvalid, "a certificate for neither server nor client");

    const X509Ptr certificate(X509_new());
    X509* const x509 = certificate.get();
    if (x509 == nullptr) return internal("making a certificate");
    const bool made =
        X509_set_version(x509, X509_VERSION_3) == 1 && set_random_serial(x509) &&
        set_times(x509, request.now - kClockTolerance, not_after) &&
        set_common_name(X509_get_subject_name(x509), request.common_name) &&
        X509_set_issuer_name(x509, X509_get_subject_name(issuer)) == 1 &&
        X509_set_pubkey(x509, key.get()) == 1 &&
        add_extension(x509, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(x509, issuer, NID_key_usage, "critical,digitalSignature") &&
        add_extension(x509, issuer, NID_ext_key_usage, purposes.c_str()) &&
        add_extension(x509, issuer, NID_subject_key_identifier, "hash") &&
        add_extension(x509, issuer, NID_authority_key_identifier, "keyid:always") &&
        (names.empty() || add_extension(x509, issuer, NID_subject_alt_name, names.c_str())) &&
        X509_sign(x509, authority_key.get(), EVP_sha256()) > 0;
    if (!made) return internal("issuing a certificate");
    return to_pem(x509);
}

Result<OwnKey> make_own_key() {
    const KeyPtr key(EVP_EC_gen("P-256"));
    const BioPtr out(BIO_new(BIO_s_mem()));
    const bool made =
        key != nullptr && out != nullptr && PEM_write_bio_PUBKEY(out.get(), key.get()) == 1;
    if (!made) return internal("making a key");
    char* text = nullptr;
    const long size = BIO_get_mem_data(out.get(), &text);
    OwnKey made_key;
    made_key.public_pem.assign(text, static_cast<size_t>(size));
    CANDELA_TRY_ASSIGN(made_key.key_pem, to_pem(key.get()));
    return made_key;
}

}  // namespace candela::tls
