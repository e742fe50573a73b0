#include "tls/verify_impl.h"

#include "base/text.h"

namespace candela::tls {

std::string describe_verification(int error, X509* certificate, const std::string& server_name) {
    switch (error) {
        case X509_V_ERR_CERT_HAS_EXPIRED:
            return fmt::format("certificate of \"{}\" expired on {}",
                               common_name_of(X509_get_subject_name(certificate)),
                               format_rfc3339(time_of(X509_get0_notAfter(certificate))));
        case X509_V_ERR_CERT_NOT_YET_VALID:
            return fmt::format("certificate of \"{}\" is not valid before {}: compare the clocks",
                               common_name_of(X509_get_subject_name(certificate)),
                               format_rfc3339(time_of(X509_get0_notBefore(certificate))));
        case X509_V_ERR_HOSTNAME_MISMATCH:
        case X509_V_ERR_IP_ADDRESS_MISMATCH:
            return fmt::format("certificate is for {}, not for {}",
                               join(names_of(certificate), ", "), printable(server_name));
        case X509_V_ERR_INVALID_PURPOSE:
            return fmt::format("certificate of \"{}\" is not made for this purpose",
                               common_name_of(X509_get_subject_name(certificate)));
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        case X509_V_ERR_CERT_SIGNATURE_FAILURE:
            return fmt::format(
                "certificate of \"{}\" is not trusted: issued by \"{}\", fingerprint {}",
                common_name_of(X509_get_subject_name(certificate)),
                common_name_of(X509_get_issuer_name(certificate)), fingerprint_of(certificate));
        default: return X509_verify_cert_error_string(error);
    }
}

int note_verification(int ok, X509_STORE_CTX* store) {
    if (ok == 1) return ok;
    const auto* const ssl =
        static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    auto* const verification =
        ssl == nullptr ? nullptr : static_cast<Verification*>(SSL_get_app_data(ssl));
    X509* const certificate = X509_STORE_CTX_get_current_cert(store);
    if (verification != nullptr && certificate != nullptr && verification->problem.empty()) {
        verification->problem = describe_verification(X509_STORE_CTX_get_error(store), certificate,
                                                      verification->server_name);
    }
    return ok;
}

int verify_by_authority(X509_STORE_CTX* store, void* fingerprint) {
    const std::string& wanted = *static_cast<const std::string*>(fingerprint);
    STACK_OF(X509)* const sent = X509_STORE_CTX_get0_untrusted(store);
    STACK_OF(X509)* const trusted = sk_X509_new_null();
    for (int i = 0; i < sk_X509_num(sent); ++i) {
        X509* const certificate = sk_X509_value(sent, i);
        if (fingerprint_of(certificate) == wanted) sk_X509_push(trusted, certificate);
    }
    X509_STORE_CTX_set0_trusted_stack(store, trusted);
    const int result = X509_verify_cert(store);
    sk_X509_free(trusted);  // the certificates are the connection's
    return result;
}

}  // namespace candela::tls
