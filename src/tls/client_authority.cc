#include <openssl/err.h>

#include "tls/client_authority_impl.h"
#include "tls/context_impl.h"
#include "tls/verify_impl.h"

namespace candela::tls {

namespace {

using StoreCtxPtr = std::unique_ptr<X509_STORE_CTX, Freer<X509_STORE_CTX_free>>;

// Keys of 112 bits and more, no SHA-1: as OpenSSL's own level for TLS.
constexpr int kSecurityLevel = 2;

struct StackFreer {
    void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }
};
using StackPtr = std::unique_ptr<STACK_OF(X509), StackFreer>;

X509Ptr parse_der(const std::string& der) {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    return X509Ptr(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

std::string subject_of(const X509* certificate) {
    const BioPtr out(BIO_new(BIO_s_mem()));
    if (out == nullptr) return {};
    X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(out.get(), &bytes);
    return size <= 0 ? std::string() : std::string(bytes, static_cast<size_t>(size));
}

Result<> check_sizes(std::span<const std::string> chain) {
    if (chain.empty()) return fail(Code::kDenied, "no client certificate");
    if (chain.size() > kClientChainMax) {
        return fail(Code::kDenied, "more than {} client certificates", kClientChainMax);
    }
    for (const std::string& der : chain) {
        if (der.size() > kClientCertificateBytesMax) {
            return fail(Code::kDenied, "a client certificate of more than {} bytes",
                        kClientCertificateBytesMax);
        }
    }
    return {};
}

}  // namespace

Result<std::shared_ptr<const ClientAuthority>> ClientAuthority::create(std::string_view pem) {
    auto parts = std::make_unique<Parts>();
    CANDELA_TRY_ASSIGN(parts->anchors, parse_certificates(pem, "the authority's certificate"));
    parts->store.reset(X509_STORE_new());
    bool is_ready = parts->store != nullptr &&
                    X509_STORE_set_flags(parts->store.get(), X509_V_FLAG_PARTIAL_CHAIN) == 1;
    for (const X509Ptr& anchor : parts->anchors) {
        is_ready = is_ready && X509_STORE_add_cert(parts->store.get(), anchor.get()) == 1;
    }
    if (!is_ready) {
        return fail(Code::kInternal, "trusting a CA: {}", take_openssl_error("failed"));
    }
    return std::make_shared<const ClientAuthority>(std::move(parts));
}

ClientAuthority::ClientAuthority(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
ClientAuthority::~ClientAuthority() = default;

Result<ClientIdentity> ClientAuthority::verify(std::span<const std::string> chain,
                                               WallTime now) const {
    CANDELA_TRY(check_sizes(chain));
    const X509Ptr leaf = parse_der(chain.front());
    std::vector<X509Ptr> others;
    const StackPtr untrusted(sk_X509_new_null());
    for (const std::string& der : chain.subspan(1)) {
        others.push_back(parse_der(der));
        if (others.back() == nullptr || sk_X509_push(untrusted.get(), others.back().get()) == 0) {
            take_openssl_error("");
            return fail(Code::kDenied, "a client certificate that can't be read");
        }
    }
    const StoreCtxPtr checking(X509_STORE_CTX_new());
    if (leaf == nullptr || checking == nullptr ||
        X509_STORE_CTX_init(checking.get(), parts_->store.get(), leaf.get(), untrusted.get()) !=
            1) {
        take_openssl_error("");
        return fail(Code::kDenied, "a client certificate that can't be read");
    }
    X509_VERIFY_PARAM* const rules = X509_STORE_CTX_get0_param(checking.get());
    X509_VERIFY_PARAM_set_purpose(rules, X509_PURPOSE_SSL_CLIENT);
    X509_VERIFY_PARAM_set_depth(rules, static_cast<int>(kClientChainMax));
    X509_VERIFY_PARAM_set_auth_level(rules, kSecurityLevel);
    X509_VERIFY_PARAM_set_time(rules, static_cast<time_t>(unix_seconds(now)));
    const int result = X509_verify_cert(checking.get());
    const int problem = X509_STORE_CTX_get_error(checking.get());
    ERR_clear_error();
    if (result != 1) {
        X509* const at = X509_STORE_CTX_get_current_cert(checking.get());
        return fail(Code::kDenied, "{}",
                    describe_verification(problem, at == nullptr ? leaf.get() : at, ""));
    }
    ClientIdentity identity;
    identity.subject = subject_of(leaf.get());
    identity.not_before = time_of(X509_get0_notBefore(leaf.get()));
    identity.not_after = time_of(X509_get0_notAfter(leaf.get()));
    return identity;
}

}  // namespace candela::tls
