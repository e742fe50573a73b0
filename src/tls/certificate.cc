#include <arpa/inet.h>

#include <ctime>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/encoding.h"
#include "base/text.h"
#include "tls/authority.h"
#include "tls/openssl_impl.h"

namespace candela::tls {

namespace {

BioPtr read_only(std::string_view text) {
    return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// OpenSSL's own asks on the terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

}  // namespace

std::string take_openssl_error(std::string_view fallback) {
    const unsigned long code = ERR_peek_last_error();
    ERR_clear_error();
    const char* const reason = code == 0 ? nullptr : ERR_reason_error_string(code);
    return reason == nullptr ? std::string(fallback) : std::string(reason);
}

Result<std::vector<X509Ptr>> parse_certificates(std::string_view pem, std::string_view what) {
    const BioPtr bio = read_only(pem);
    std::vector<X509Ptr> certificates;
    while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)) {
        certificates.emplace_back(certificate);
    }
    const unsigned long code = ERR_peek_last_error();
    const bool is_end =
        ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
    const std::string reason = take_openssl_error("no certificate in it");
    if (certificates.empty()) {
        return fail(Code::kInvalid, "{} is not a certificate in PEM form", what);
    }
    if (!is_end) return fail(Code::kInvalid, "{} has a broken certificate: {}", what, reason);
    return certificates;
}

Result<KeyPtr> parse_key(const Secret& pem) {
    const BioPtr bio = read_only(pem.reveal());
    KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
    if (key != nullptr) return key;
    take_openssl_error("");
    return fail(Code::kInvalid, "the private key is not in PEM form without a passphrase");
}

std::string to_pem(X509* certificate) {
    const BioPtr bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(bio.get(), certificate);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return std::string(data, static_cast<size_t>(size));
}

Result<Secret> to_pem(EVP_PKEY* key) {
    // Secure-heap BIOs wipe what they held.
    const BioPtr bio(BIO_new(BIO_s_secmem()));
    if (PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
        return fail(Code::kInternal, "writing a private key: {}", take_openssl_error("failed"));
    }
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return Secret(std::string_view(data, static_cast<size_t>(size)));
}

std::string fingerprint_of(const X509* certificate) {
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    X509_digest(certificate, EVP_sha256(), digest, &size);
    return hex_encode(ByteView(digest, size));
}

std::string common_name_of(const X509_NAME* name) {
    char text[256] = {};
    const int size =
        X509_NAME_get_text_by_NID(const_cast<X509_NAME*>(name), NID_commonName, text, sizeof text);
    return size <= 0 ? "(no name)" : printable(text);
}

std::vector<std::string> names_of(const X509* certificate) {
    std::vector<std::string> names;
    auto* const list = static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
    for (int index = 0; index < sk_GENERAL_NAME_num(list); ++index) {
        const GENERAL_NAME* const name = sk_GENERAL_NAME_value(list, index);
        if (name->type == GEN_DNS) {
            const ASN1_STRING* const text = name->d.dNSName;
            names.push_back(printable(
                std::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                                 static_cast<size_t>(ASN1_STRING_length(text)))));
        } else if (name->type == GEN_IPADD) {
            const ASN1_STRING* const bytes = name->d.iPAddress;
            const int family = ASN1_STRING_length(bytes) == 4 ? AF_INET : AF_INET6;
            if (family == AF_INET6 && ASN1_STRING_length(bytes) != 16) continue;
            char text[INET6_ADDRSTRLEN] = {};
            inet_ntop(family, ASN1_STRING_get0_data(bytes), text, sizeof text);
            names.emplace_back(text);
        }
    }
    GENERAL_NAMES_free(list);
    return names;
}

WallTime time_of(const ASN1_TIME* time) {
    tm utc{};
    ASN1_TIME_to_tm(time, &utc);
    return WallTime(std::chrono::seconds(timegm(&utc)));
}

bool is_ip_literal(std::string_view text) {
    const std::string copy(text);
    uint8_t address[16];
    return inet_pton(AF_INET, copy.c_str(), address) == 1 ||
           inet_pton(AF_INET6, copy.c_str(), address) == 1;
}

Result<CertificateInfo> inspect_certificate(std::string_view certificate_pem) {
    CANDELA_TRY_ASSIGN(const std::vector<X509Ptr> certificates,
                       parse_certificates(certificate_pem, "the text"));
    const X509* const leaf = certificates.front().get();
    CertificateInfo info;
    info.subject = common_name_of(X509_get_subject_name(leaf));
    info.issuer = common_name_of(X509_get_issuer_name(leaf));
    info.names = names_of(leaf);
    info.not_before = time_of(X509_get0_notBefore(leaf));
    info.not_after = time_of(X509_get0_notAfter(leaf));
    info.fingerprint = fingerprint_of(leaf);
    info.is_authority = X509_check_ca(certificates.front().get()) == 1;
    return info;
}

}  // namespace candela::tls
