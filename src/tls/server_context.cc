#include <algorithm>
#include <map>

#include "base/text.h"
#include "crypto/hash.h"
#include "tls/certificate_asks.h"
#include "tls/client_authority_impl.h"
#include "tls/context.h"
#include "tls/context_impl.h"
#include "tls/tickets_impl.h"
#include "tls/verify_impl.h"

namespace candela::tls {

// What holds for a name whatever its certificate: challenges, and who is asked for a certificate.
// It is the same for each set of certificates, so that a challenge makes no context but its own.
struct ServerContext::Challenges {
    using Authorities = std::vector<std::shared_ptr<const ClientAuthority>>;

    std::mutex mutex;
    // What certificate authorities are shown.
    std::map<std::string, SslCtxPtr, std::less<>> by_name;
    // Who is asked for a certificate: as written in CertificateAsk, and "*.example.org" by what
    // follows "*".
    std::map<std::string, Authorities, std::less<>> asks;

    SslCtxPtr find_challenge(std::string_view name) {
        const std::lock_guard lock(mutex);
        const auto found = by_name.find(name);
        return found == by_name.end() ? nullptr : found->second;
    }
    // Empty: nobody is asked.
    Authorities authorities_of(std::string_view name) {
        Authorities out;
        const std::lock_guard lock(mutex);
        const auto add = [&](std::string_view key) {
            const auto found = asks.find(key);
            if (found == asks.end()) return;
            out.insert(out.end(), found->second.begin(), found->second.end());
        };
        if (asks.empty()) return out;
        add("");
        if (!name.empty()) add(name);
        const size_t dot = name.find('.');
        if (dot != std::string_view::npos && dot != 0) add(name.substr(dot));
        return out;
    }
};

namespace {

using Names = ServerContext::Challenges;
using NamesPtr = std::shared_ptr<Names>;

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
    // Of the context that handshakes begin with: those of all names, "*.example.com" by what
    // follows "*".
    std::map<std::string, SslCtxPtr, std::less<>> by_name;
    std::map<std::string, SslCtxPtr, std::less<>> by_suffix;
    bool has_default = true;
    NamesPtr names;
    std::shared_ptr<TicketKeys> ticket_keys;
    std::string client_ca_pem;

    // RFC 6125 §6.4.3: a wildcard stands for one label. Null: none has that name.
    SSL_CTX* find(std::string_view name) const {
        auto found = by_name.find(name);
        if (found != by_name.end()) return found->second.get();
        const size_t dot = name.find('.');
        if (dot == std::string_view::npos || dot == 0) return nullptr;
        found = by_suffix.find(name.substr(dot));
        return found == by_suffix.end() ? nullptr : found->second.get();
    }
};

// Where the first context of a server has its Names.
int names_index() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

// "example.com." and "EXAMPLE.com" are "example.com".
std::string plain_name(std::string_view asked) {
    std::string name = ascii_lower(asked);
    if (name.ends_with('.')) name.pop_back();
    return name;
}

// RFC 6066 §3: a list of one name of type 0, each behind its length. Empty for anything else.
std::string_view server_name_in(SSL* ssl) {
    const unsigned char* data = nullptr;
    size_t size = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &size) != 1) return {};
    constexpr size_t kHeadBytes = 5;
    if (size <= kHeadBytes || data[2] != TLSEXT_NAMETYPE_host_name) return {};
    const size_t list_size = static_cast<size_t>(data[0]) << 8 | data[1];
    const size_t name_size = static_cast<size_t>(data[3]) << 8 | data[4];
    if (list_size != size - 2 || name_size != size - kHeadBytes) return {};
    return {reinterpret_cast<const char*>(data + kHeadBytes), name_size};
}

// RFC 8737 §3: the authority offers this protocol alone.
bool offers_challenge_alone(SSL* ssl) {
    const unsigned char* data = nullptr;
    size_t size = 0;
    constexpr int kAlpn = TLSEXT_TYPE_application_layer_protocol_negotiation;
    if (SSL_client_hello_get0_ext(ssl, kAlpn, &data, &size) != 1) return false;
    std::string wanted = {'\0', static_cast<char>(kChallengeAlpn.size() + 1),
                          static_cast<char>(kChallengeAlpn.size())};
    wanted += kChallengeAlpn;
    return std::string_view(reinterpret_cast<const char*>(data), size) == wanted;
}

// A session is resumed only where all of this is the same as when it began: OpenSSL compares it
// before it takes a ticket, and with it what was verified then.
bool bind_session(SSL* ssl, const ServerCtx& server, std::string_view name, bool is_asked) {
    std::string text = is_asked ? "candela asks " : "candela ";
    text.append(name).append("\n").append(server.client_ca_pem);
    const crypto::Digest digest = crypto::sha256(as_bytes(text));
    static_assert(sizeof digest <= SSL_MAX_SID_CTX_LENGTH);
    return SSL_set_session_id_context(ssl, digest.data(), sizeof digest) == 1;
}

struct NamesFreer {
    void operator()(STACK_OF(X509_NAME) * names) const {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
    }
};
using SubjectsPtr = std::unique_ptr<STACK_OF(X509_NAME), NamesFreer>;

// Adds the authority's subjects that are not there; false where that failed.
bool add_subjects(STACK_OF(X509_NAME) * subjects, const ClientAuthority& authority, size_t& bytes) {
    for (const X509Ptr& anchor : authority.parts().anchors) {
        X509_NAME* const name = X509_get_subject_name(anchor.get());
        bool is_there = false;
        for (int i = 0; i < sk_X509_NAME_num(subjects) && !is_there; ++i) {
            is_there = X509_NAME_cmp(sk_X509_NAME_value(subjects, i), name) == 0;
        }
        if (is_there) continue;
        bytes += static_cast<size_t>(std::max(0, i2d_X509_NAME(name, nullptr)));
        if (bytes > kSubjectBytesMax) return true;
        X509_NAME* const copy = X509_NAME_dup(name);
        if (copy != nullptr && sk_X509_NAME_push(subjects, copy) > 0) continue;
        X509_NAME_free(copy);
        return false;
    }
    return true;
}

// RFC 8446 §4.2.4: whose certificates are taken, so that a browser offers no others.
bool ask_for_certificate(SSL* ssl, const Names::Authorities& authorities) {
    SubjectsPtr subjects(sk_X509_NAME_new_null());
    bool is_set = subjects != nullptr;
    size_t bytes = 0;
    for (const auto& authority : authorities) {
        is_set = is_set && add_subjects(subjects.get(), *authority, bytes);
        if (bytes > kSubjectBytesMax) break;
    }
    if (bytes > kSubjectBytesMax) subjects.reset(sk_X509_NAME_new_null());  // any, for all we say
    SSL_set0_CA_list(ssl, subjects.release());
    SSL_set_verify(ssl, SSL_VERIFY_PEER, nullptr);
    // No ticket may stand for a certificate, which it holds only the leaf of.
    SSL_set_options(ssl, SSL_OP_NO_TICKET);
    return is_set && SSL_set_num_tickets(ssl, 0) == 1;
}

// The route that a request takes looks at it (client_authority.h).
int take_any_certificate(X509_STORE_CTX* checking, void*) {
    X509_STORE_CTX_set_error(checking, X509_V_OK);
    return 1;
}

// All that depends on the name is decided here, not in the callback for server names: of TLS 1.3
// that one runs after a session was resumed.
int look_at_client_hello(SSL* ssl, int* alert, void* argument) {
    const auto& server = *static_cast<const ServerCtx*>(argument);
    const std::string name = plain_name(server_name_in(ssl));
    *alert = SSL_AD_INTERNAL_ERROR;
    const Names::Authorities authorities = server.names->authorities_of(name);
    if (!bind_session(ssl, server, name, !authorities.empty())) return SSL_CLIENT_HELLO_ERROR;
    if (offers_challenge_alone(ssl)) {
        // Without one the handshake goes on, and ends for want of a protocol that both speak.
        const SslCtxPtr challenge = server.names->find_challenge(name);
        if (challenge != nullptr) {
            SSL_set_SSL_CTX(ssl, challenge.get());
            return SSL_CLIENT_HELLO_SUCCESS;
        }
    }
    SSL_CTX* const found = server.find(name);
    if (found != nullptr) {
        SSL_set_SSL_CTX(ssl, found);
    } else if (!server.has_default) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_CLIENT_HELLO_ERROR;
    }
    if (!authorities.empty() && !ask_for_certificate(ssl, authorities)) {
        return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

// Says that the name is known, nothing else.
int keep_certificate(SSL*, int*, void*) { return SSL_TLSEXT_ERR_OK; }

Result<SslCtxPtr> make_challenge_context(const KeyPair& key_pair) {
    static std::string wire = *alpn_wire({std::string(kChallengeAlpn)});
    CANDELA_TRY_ASSIGN(SslCtxPtr made, make_context(TLS_server_method()));
    CANDELA_TRY(use_key_pair(made.get(), key_pair));
    SSL_CTX_set_alpn_select_cb(made.get(), select_alpn, &wire);
    SSL_CTX_set_tlsext_servername_callback(made.get(), keep_certificate);
    SSL_CTX_set_options(made.get(), SSL_OP_NO_TICKET);
    return made;
}

// `key_pair` is null for one that has no certificate of its own.
Result<std::shared_ptr<ServerCtx>> make_server_context(const KeyPair* key_pair,
                                                       const ServerOptions& options) {
    CANDELA_TRY_ASSIGN(SslCtxPtr made, make_context(TLS_server_method()));
    auto owner = std::make_shared<ServerCtx>(std::move(made));
    SSL_CTX* const context = owner->context.get();
    if (key_pair != nullptr) CANDELA_TRY(use_key_pair(context, *key_pair));
    CANDELA_TRY_ASSIGN(owner->alpn, alpn_wire(options.alpn));
    if (!owner->alpn.empty()) SSL_CTX_set_alpn_select_cb(context, select_alpn, &owner->alpn);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // tickets hold the state instead
    // OpenSSL makes two, for browsers that open several connections at once: those speak HTTP/2
    // here, on one. Each costs a twentieth of a handshake, and resuming brings the next.
    SSL_CTX_set_num_tickets(context, 1);
    owner->ticket_keys = options.ticket_keys;
    if (owner->ticket_keys != nullptr) {
        CANDELA_TRY(use_ticket_keys(context, *owner->ticket_keys));
    }
    SSL_CTX_set_tlsext_servername_callback(context, keep_certificate);
    owner->client_ca_pem = options.client_ca_pem;
    if (!options.client_ca_pem.empty()) {
        CANDELA_TRY(trust(context, options.client_ca_pem));
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           note_verification);
    } else {
        SSL_CTX_set_cert_verify_callback(context, take_any_certificate, nullptr);
    }
    return owner;
}

SslCtxPtr context_of(const std::shared_ptr<ServerCtx>& owner) {
    return SslCtxPtr(owner, owner->context.get());
}

// The context that handshakes begin with: the first certificate's, or one that has none.
Result<SslCtxPtr> make_server_contexts(std::span<const KeyPair> key_pairs,
                                       const ServerOptions& options, NamesPtr names) {
    if (key_pairs.empty() && options.has_default) {
        return fail(Code::kInvalid, "a TLS server needs a certificate");
    }
    const KeyPair* const own = options.has_default ? &key_pairs.front() : nullptr;
    CANDELA_TRY_ASSIGN(const std::shared_ptr<ServerCtx> base, make_server_context(own, options));
    base->has_default = options.has_default;
    base->names = std::move(names);
    if (SSL_CTX_set_ex_data(base->context.get(), names_index(), base->names.get()) != 1) {
        return fail(Code::kInternal, "setting up TLS: {}", take_openssl_error("out of memory"));
    }
    for (const KeyPair& key_pair : key_pairs) {
        // Not counted as an owner: the maps are the context's own.
        SslCtxPtr context(SslCtxPtr(), base->context.get());
        if (&key_pair != own) {
            CANDELA_TRY_ASSIGN(const std::shared_ptr<ServerCtx> made,
                               make_server_context(&key_pair, options));
            context = context_of(made);
        }
        // Of those with the same name the first wins.
        for (const std::string& written : names_of(SSL_CTX_get0_certificate(context.get()))) {
            const std::string name = ascii_lower(written);
            if (name.starts_with("*.")) {
                base->by_suffix.emplace(name.substr(1), context);
            } else {
                base->by_name.emplace(name, context);
            }
        }
    }
    SSL_CTX* const context = base->context.get();
    SSL_CTX_set_client_hello_cb(context, look_at_client_hello, base.get());
    return context_of(base);
}

}  // namespace

Result<std::shared_ptr<ServerContext>> ServerContext::create(const KeyPair& key_pair,
                                                             const ServerOptions& options) {
    return create(std::span<const KeyPair>(&key_pair, 1), options);
}

Result<std::shared_ptr<ServerContext>> ServerContext::create(std::span<const KeyPair> key_pairs,
                                                             const ServerOptions& options) {
    auto names = std::make_shared<Challenges>();
    CANDELA_TRY_ASSIGN(SslCtxPtr context, make_server_contexts(key_pairs, options, names));
    return std::make_shared<ServerContext>(std::move(context), options, std::move(names));
}

ServerContext::ServerContext(SslCtxPtr context, ServerOptions options,
                             std::shared_ptr<Challenges> challenges)
    : options_(std::move(options)),
      context_(std::move(context)),
      challenges_(std::move(challenges)) {}

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
    CANDELA_TRY_ASSIGN(SslCtxPtr context, make_server_contexts(key_pairs, options, challenges_));
    const std::lock_guard lock(mutex_);
    context_ = std::move(context);
    options_ = options;
    return {};
}

Result<> ServerContext::set_challenges(std::span<const ChallengeCertificate> challenges) {
    std::map<std::string, SslCtxPtr, std::less<>> by_name;
    for (const ChallengeCertificate& challenge : challenges) {
        CANDELA_TRY_ASSIGN(SslCtxPtr made, make_challenge_context(challenge.key_pair));
        by_name.insert_or_assign(plain_name(challenge.name), std::move(made));
    }
    const std::lock_guard lock(challenges_->mutex);
    challenges_->by_name = std::move(by_name);
    return {};
}

void set_certificate_asks(const ServerContext& context, std::span<const CertificateAsk> asks) {
    std::map<std::string, Names::Authorities, std::less<>> by_name;
    for (const CertificateAsk& ask : asks) {
        const std::string key = ask.host.starts_with("*.") ? ask.host.substr(1) : ask.host;
        Names::Authorities& known = by_name[key];
        if (std::ranges::find(known, ask.authority) == known.end()) known.push_back(ask.authority);
    }
    const SslCtxPtr current = context.current();
    Names& names = *static_cast<Names*>(SSL_CTX_get_ex_data(current.get(), names_index()));
    const std::lock_guard lock(names.mutex);
    names.asks = std::move(by_name);
}

SslCtxPtr ServerContext::current() const {
    const std::lock_guard lock(mutex_);
    return context_;
}

}  // namespace candela::tls
