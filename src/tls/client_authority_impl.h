#pragma once

// Private to src/tls.

#include <vector>

#include "tls/client_authority.h"
#include "tls/openssl_impl.h"

namespace candela::tls {

using StorePtr = std::unique_ptr<X509_STORE, Freer<X509_STORE_free>>;

struct ClientAuthority::Parts {
    StorePtr store;
    std::vector<X509Ptr> anchors;
};

}  // namespace candela::tls
