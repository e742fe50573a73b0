#pragma once

// What server and client contexts are both made from. Private to src/tls.

#include <string>
#include <vector>

#include "tls/context.h"
#include "tls/openssl_impl.h"

namespace candela::tls {

Result<SslCtxPtr> make_context(const SSL_METHOD* method);
Result<> use_key_pair(SSL_CTX* context, const KeyPair& key_pair);
Result<> trust(SSL_CTX* context, std::string_view ca_pem);
// RFC 7301 §3.1: each name behind its length.
Result<std::string> alpn_wire(const std::vector<std::string>& names);

}  // namespace candela::tls
