#include <algorithm>

#include <openssl/core_names.h>
#include <openssl/rand.h>

#include "tls/tickets_impl.h"

namespace candela::tls {

namespace {

constexpr size_t kHalfBytes = kTicketSecretBytes / 2;
constexpr int kIvBytes = 16;

int keys_index() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

// Looked up once: by name it costs more than to encrypt a ticket.
const EVP_CIPHER* ticket_cipher() {
    static EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
    return cipher;
}

bool set_mac_key(EVP_MAC_CTX* mac, std::string_view secret) {
    char digest[] = "SHA256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(
            OSSL_MAC_PARAM_KEY, const_cast<char*>(secret.data() + kHalfBytes), kHalfBytes),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

const unsigned char* cipher_key(const TicketKey& key) {
    return reinterpret_cast<const unsigned char*>(key.secret.reveal().data());
}

int seal_ticket(const TicketKeys& keys, unsigned char* name, unsigned char* iv,
                EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) {
    const auto key = keys.current();
    if (key == nullptr) return 0;  // none is given out
    std::copy(key->name.begin(), key->name.end(), name);
    const bool is_ready =
        RAND_bytes(iv, kIvBytes) == 1 &&
        EVP_EncryptInit_ex(cipher, ticket_cipher(), nullptr, cipher_key(*key), iv) == 1 &&
        set_mac_key(mac, key->secret.reveal());
    return is_ready ? 1 : -1;
}

// 0: a full handshake; 1: resumed; 2: resumed, and a newer ticket is given.
int open_ticket(const TicketKeys& keys, SSL* ssl, const unsigned char* name,
                const unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) {
    const auto key =
        keys.find(std::string_view(reinterpret_cast<const char*>(name), kTicketNameBytes));
    if (key == nullptr) return 0;
    const bool is_ready =
        EVP_DecryptInit_ex(cipher, ticket_cipher(), nullptr, cipher_key(*key), iv) == 1 &&
        set_mac_key(mac, key->secret.reveal());
    if (!is_ready) return -1;
    // RFC 8446 §C.4: clients should not show a ticket twice, so each needs a new one.
    return SSL_version(ssl) >= TLS1_3_VERSION || key != keys.current() ? 2 : 1;
}

int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
              EVP_MAC_CTX* mac, int is_sealing) {
    const auto* const keys =
        static_cast<const TicketKeys*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), keys_index()));
    if (keys == nullptr) return 0;
    return is_sealing == 1 ? seal_ticket(*keys, name, iv, cipher, mac)
                           : open_ticket(*keys, ssl, name, iv, cipher, mac);
}

}  // namespace

Result<> use_ticket_keys(SSL_CTX* context, const TicketKeys& keys) {
    // OpenSSL only lends the data of others a place.
    const bool is_set =
        SSL_CTX_set_ex_data(context, keys_index(), const_cast<TicketKeys*>(&keys)) == 1 &&
        SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket) == 1;
    if (!is_set) {
        return fail(Code::kInternal, "setting up session tickets: {}",
                    take_openssl_error("failed"));
    }
    SSL_CTX_set_timeout(context, std::chrono::ceil<std::chrono::seconds>(keys.period()).count());
    return {};
}

}  // namespace candela::tls
