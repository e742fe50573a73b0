#include "tls/context.h"

#include <algorithm>
#include <map>

#include <openssl/err.h>

#include "base/text.h"
#include "tls/openssl_impl.h"
#include "tls/verify_impl.h"

namespace candela::tls {

namespace {

std::unexpected<Error> internal(std::string_view what) {
    return fail(Code::kInternal, "{}: {}", what, take_openssl_error("failed"));
}

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

int select_alpn(SSL*, const unsigned char** out, unsigned char* out_size,
                const unsigned char* offered, unsigned offered_size, void* names) {
    const auto& wire = *static_cast<const std::string*>(names);
    unsigned char* chosen = nullptr;
    if (SSL_select_next_proto(
            &chosen, out_size, reinterpret_cast<const unsigned char*>(wire.data()),
            static_cast<unsigned>(wire.size()), offered, offered_size) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

// What an SSL_CTX's callbacks use lives as long as the context itself.
struct ServerCtx {
    explicit ServerCtx(SslCtxPtr c) : context(std::move(c)) {}
    SslCtxPtr context;
    std::string alpn;
    // Of the first certificate's context: those of all names, "*.example.com" by what follows "*".
    std::map<std::string, SslCtxPtr, std::less<>> by_name;
    std::map<std::string, SslCtxPtr, std::less<>> by_suffix;
};

// RFC 6066 §3, RFC 6125 §6.4.3: a wildcard stands for one label.
int select_certificate(SSL* ssl, int*, void* argument) {
    const auto& server = *static_cast<const ServerCtx*>(argument);
    const char* const asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (asked == nullptr) return SSL_TLSEXT_ERR_OK;
    std::string name = ascii_lower(asked);
    if (name.ends_with('.')) name.pop_back();
    const auto exact = server.by_name.find(name);
    if (exact != server.by_name.end()) {
        SSL_set_SSL_CTX(ssl, exact->second.get());
        return SSL_TLSEXT_ERR_OK;
    }
    const size_t dot = name.find('.');
    if (dot == std::string::npos || dot == 0) return SSL_TLSEXT_ERR_OK;
    const auto wildcard = server.by_suffix.find(std::string_view(name).substr(dot));
    if (wildcard != server.by_suffix.end()) SSL_set_SSL_CTX(ssl, wildcard->second.get());
    return SSL_TLSEXT_ERR_OK;
}

Result<std::shared_ptr<ServerCtx>> make_server_context(const KeyPair& key_pair,
                                                       const ServerOptions& options) {
    CANDELA_TRY_ASSIGN(SslCtxPtr made, make_context(TLS_server_method()));
    auto owner = std::make_shared<ServerCtx>(std::move(made));
    SSL_CTX* const context = owner->context.get();
    CANDELA_TRY(use_key_pair(context, key_pair));
    CANDELA_TRY_ASSIGN(owner->alpn, alpn_wire(options.alpn));
    if (!owner->alpn.empty()) SSL_CTX_set_alpn_select_cb(context, select_alpn, &owner->alpn);
    static constexpr unsigned char kSessionContext[] = "candela";
    SSL_CTX_set_session_id_context(context, kSessionContext, sizeof kSessionContext - 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // tickets hold the state instead
    if (!options.client_ca_pem.empty()) {
        CANDELA_TRY(trust(context, options.client_ca_pem));
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           note_verification);
    }
    return owner;
}

SslCtxPtr context_of(const std::shared_ptr<ServerCtx>& owner) {
    return SslCtxPtr(owner, owner->context.get());
}

// The first certificate's context; handshakes begin with it.
Result<SslCtxPtr> make_server_contexts(std::span<const KeyPair> key_pairs,
                                       const ServerOptions& options) {
    if (key_pairs.empty()) return fail(Code::kInvalid, "a TLS server needs a certificate");
    std::shared_ptr<ServerCtx> first;
    for (const KeyPair& key_pair : key_pairs) {
        CANDELA_TRY_ASSIGN(const std::shared_ptr<ServerCtx> made,
                           make_server_context(key_pair, options));
        if (first == nullptr) first = made;
        // The first one's own names need no entry: it is what stays without one.
        if (made == first) continue;
        for (const std::string& written : names_of(SSL_CTX_get0_certificate(made->context.get()))) {
            const std::string name = ascii_lower(written);
            if (name.starts_with("*.")) {
                first->by_suffix.emplace(name.substr(1), context_of(made));
            } else {
                first->by_name.emplace(name, context_of(made));
            }
        }
    }
    if (key_pairs.size() > 1) {
        // An exact name of the first one must win over another's wildcard.
        SSL_CTX* const context = first->context.get();
        for (const std::string& written : names_of(SSL_CTX_get0_certificate(context))) {
            // Not counted as an owner: the map is the context's own.
            const SslCtxPtr itself(SslCtxPtr(), context);
            const std::string name = ascii_lower(written);
            if (!name.starts_with("*.")) first->by_name.insert_or_assign(name, itself);
        }
        SSL_CTX_set_tlsext_servername_callback(context, select_certificate);
        SSL_CTX_set_tlsext_servername_arg(context, first.get());
    }
    return context_of(first);
}

}  // namespace

Result<std::shared_ptr<ServerContext>> ServerContext::create(const KeyPair& key_pair,
                                                             const ServerOptions& options) {
    return create(std::span<const KeyPair>(&key_pair, 1), options);
}

Result<std::shared_ptr<ServerContext>> ServerContext::create(std::span<const KeyPair> key_pairs,
                                                             const ServerOptions& options) {
    CANDELA_TRY_ASSIGN(SslCtxPtr context, make_server_contexts(key_pairs, options));
    return std::make_shared<ServerContext>(std::move(context), options);
}

ServerContext::ServerContext(SslCtxPtr context, ServerOptions options)
    : options_(std::move(options)), context_(std::move(context)) {}

ServerOptions ServerContext::options() const {
    const std::lock_guard lock(mutex_);
    return options_;
}

Result<> ServerContext::swap(const KeyPair& key_pair) {
    return swap(std::span<const KeyPair>(&key_pair, 1), options());
}

Result<> ServerContext::swap(std::span<const KeyPair> key_pairs) {
    return swap(key_pairs, options());
}

Result<> ServerContext::swap(const KeyPair& key_pair, const ServerOptions& options) {
    return swap(std::span<const KeyPair>(&key_pair, 1), options);
}

Result<> ServerContext::swap(std::span<const KeyPair> key_pairs, const ServerOptions& options) {
    CANDELA_TRY_ASSIGN(SslCtxPtr context, make_server_contexts(key_pairs, options));
    const std::lock_guard lock(mutex_);
    context_ = std::move(context);
    options_ = options;
    return {};
}

SslCtxPtr ServerContext::current() const {
    const std::lock_guard lock(mutex_);
    return context_;
}

Result<std::shared_ptr<ClientContext>> ClientContext::create(const ClientOptions& options) {
    CANDELA_TRY_ASSIGN(SslCtxPtr context, make_context(TLS_client_method()));
    std::string pinned;
    if (!options.pinned_fingerprint.empty()) {
        if (!options.ca_pem.empty()) {
            return fail(Code::kInvalid, "trust either an authority or a fingerprint, not both");
        }
        pinned = ascii_lower(options.pinned_fingerprint);
        const bool is_hex = pinned.find_first_not_of("0123456789abcdef") == std::string::npos;
        if (pinned.size() != 64 || !is_hex) {
            return fail(Code::kInvalid, "\"{}\" is not a SHA-256 fingerprint of 64 hex digits",
                        printable(options.pinned_fingerprint));
        }
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
    return std::make_shared<ClientContext>(std::move(context), std::move(pinned));
}

}  // namespace candela::tls
