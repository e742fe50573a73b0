#pragma once

// Session tickets of our own keys in an OpenSSL context. Private to src/tls.

#include <memory>

#include "tls/openssl_impl.h"
#include "tls/ticket_keys.h"

namespace candela::tls {

// `keys` outlive the context.
Result<> use_ticket_keys(SSL_CTX* context, const TicketKeys& keys);

}  // namespace candela::tls
