#include "tls/certificate_parts_impl.h"

#include <algorithm>

#include <openssl/bn.h>

#include "base/text.h"

namespace candela::tls {

// RFC 5280 §4.1.2.2: positive, at most 20 bytes; random, so that no two need coordination.
bool set_random_serial(X509* certificate) {
    const std::unique_ptr<BIGNUM, Freer<BN_free>> number(BN_new());
    return BN_rand(number.get(), 159, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
           BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool set_times(X509* certificate, WallTime not_before, WallTime not_after) {
    return ASN1_TIME_set(X509_getm_notBefore(certificate), unix_seconds(not_before)) != nullptr &&
           ASN1_TIME_set(X509_getm_notAfter(certificate), unix_seconds(not_after)) != nullptr;
}

bool set_common_name(X509_NAME* name, std::string_view text) {
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                      reinterpret_cast<const unsigned char*>(text.data()),
                                      static_cast<int>(text.size()), -1, 0) == 1;
}

bool add_extension(X509* certificate, X509* issuer, int id, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, id, value);
    if (extension == nullptr) return false;
    const int added = X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return added == 1;
}

// "DNS:a,IP:1.2.3.4"; the text is OpenSSL's own little language, so that nothing else may get into
// it.
Result<std::string> alternative_names(const std::vector<std::string>& names) {
    std::string out;
    for (const std::string& name : names) {
        const bool is_ip = is_ip_literal(name);
        const bool is_dns = !name.empty() && name.size() <= 253 &&
                            std::all_of(name.begin(), name.end(), [](char c) {
                                return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                       (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
                                       c == '*';
                            });
        if (!is_ip && !is_dns) {
            return fail(Code::kInvalid, "\"{}\" is neither a DNS name nor an IP address",
                        printable(name));
        }
        if (!out.empty()) out += ',';
        out += (is_ip ? "IP:" : "DNS:") + name;
    }
    return out;
}

}  // namespace candela::tls
