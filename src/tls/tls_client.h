#pragma once

// What a server's TLS stream knows of its client. A value.

#include <string>
#include <vector>

#include "loop/stream.h"

namespace candela::tls {

struct TlsClient {
    std::string server_name;  // that it asked for, in lower case; empty: none
    bool was_asked = false;   // for a certificate
    // That it showed, and has the key of, in DER, the leaf first: not checked any further.
    std::vector<std::string> certificates;
};

// Of a stream that tls::wrap_server() or an Acceptor made; of others there is nothing to know.
TlsClient client_of(const Stream& stream);

}  // namespace candela::tls
