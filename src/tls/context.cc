#include "tls/context.h"

#include <algorithm>

#include "base/text.h"
#include "tls/context_impl.h"
#include "tls/verify_impl.h"

namespace candela::tls {

namespace {

std::unexpected<Error> internal(std::string_view what) {
    return fail(Code::kInternal, "{}: {}", what, take_openssl_error("failed"));
}

}  // namespace

Result<SslCtxPtr> make_context(const SSL_METHOD* method) {
    const SslCtxPtr context(SSL_CTX_new(method), Freer<SSL_CTX_free>());
    if (context == nullptr) return internal("setting up TLS");
    SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
    // An end without close_notify stays an error: it may be an attacker's cut.
    SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
    // Of TLS 1.2 only what has forward secrecy and authenticated encryption.
    if (SSL_CTX_set_cipher_list(context.get(), "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) {
        return internal("choosing TLS ciphers");
    }
    return context;
}

Result<> use_key_pair(SSL_CTX* context, const KeyPair& key_pair) {
    CANDELA_TRY_ASSIGN(const std::vector<X509Ptr> chain,
                       parse_certificates(key_pair.certificate_pem, "the certificate"));
    CANDELA_TRY_ASSIGN(const KeyPtr key, parse_key(key_pair.key_pem));
    if (X509_check_private_key(chain.front().get(), key.get()) != 1) {
        take_openssl_error("");
        return fail(Code::kInvalid, "the private key does not belong to the certificate of \"{}\"",
                    common_name_of(X509_get_subject_name(chain.front().get())));
    }
    if (SSL_CTX_use_certificate(context, chain.front().get()) != 1 ||
        SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
        return internal("using the certificate");
    }
    for (size_t index = 1; index < chain.size(); ++index) {
        if (SSL_CTX_add1_chain_cert(context, chain[index].get()) != 1) {
            return internal("using the certificate chain");
        }
    }
    return {};
}

Result<> trust(SSL_CTX* context, std::string_view ca_pem) {
    CANDELA_TRY_ASSIGN(const std::vector<X509Ptr> authorities,
                       parse_certificates(ca_pem, "the authority's certificate"));
    X509_STORE* const store = SSL_CTX_get_cert_store(context);
    for (const X509Ptr& authority : authorities) {
        if (X509_STORE_add_cert(store, authority.get()) != 1) return internal("trusting a CA");
    }
    return {};
}

// RFC 7301 §3.1: each name behind its length.
Result<std::string> alpn_wire(const std::vector<std::string>& names) {
    std::string wire;
    for (const std::string& name : names) {
        if (name.empty() || name.size() > 255) {
            return fail(Code::kInvalid, "\"{}\" is not an ALPN name", printable(name));
        }
        wire += static_cast<char>(name.size());
        wire += name;
    }
    return wire;
}

namespace {

Result<std::string> parse_fingerprint(std::string_view text) {
    std::string lower = ascii_lower(text);
    const bool is_hex = lower.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (lower.size() == 64 && is_hex) return lower;
    return fail(Code::kInvalid, "\"{}\" is not a SHA-256 fingerprint of 64 hex digits",
                printable(text));
}

}  // namespace

Result<std::shared_ptr<ClientContext>> ClientContext::create(const ClientOptions& options) {
    CANDELA_TRY_ASSIGN(SslCtxPtr context, make_context(TLS_client_method()));
    const int trusted = static_cast<int>(!options.ca_pem.empty()) +
                        static_cast<int>(!options.pinned_fingerprint.empty()) +
                        static_cast<int>(!options.pinned_authority.empty());
    if (trusted > 1) {
        return fail(Code::kInvalid, "trust either an authority or a fingerprint, not both");
    }
    std::string pinned;
    std::unique_ptr<const std::string> pinned_authority;
    if (!options.pinned_authority.empty()) {
        CANDELA_TRY_ASSIGN(std::string fingerprint, parse_fingerprint(options.pinned_authority));
        pinned_authority = std::make_unique<const std::string>(std::move(fingerprint));
        SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, note_verification);
        SSL_CTX_set_cert_verify_callback(context.get(), verify_by_authority,
                                         const_cast<std::string*>(pinned_authority.get()));
    } else if (!options.pinned_fingerprint.empty()) {
        CANDELA_TRY_ASSIGN(pinned, parse_fingerprint(options.pinned_fingerprint));
        // Checked against the fingerprint once the handshake is done, before a byte is sent.
        SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
    } else {
        if (!options.ca_pem.empty()) {
            CANDELA_TRY(trust(context.get(), options.ca_pem));
        } else if (SSL_CTX_set_default_verify_paths(context.get()) != 1) {
            return internal("finding the system's certificate authorities");
        }
        SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, note_verification);
    }
    CANDELA_TRY_ASSIGN(const std::string alpn, alpn_wire(options.alpn));
    if (!alpn.empty() &&
        SSL_CTX_set_alpn_protos(context.get(), reinterpret_cast<const unsigned char*>(alpn.data()),
                                static_cast<unsigned>(alpn.size())) != 0) {
        return internal("setting ALPN");
    }
    if (options.key_pair != nullptr) CANDELA_TRY(use_key_pair(context.get(), *options.key_pair));
    return std::make_shared<ClientContext>(std::move(context), std::move(pinned),
                                           std::move(pinned_authority));
}

}  // namespace candela::tls
