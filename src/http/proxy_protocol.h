#pragma once

// The PROXY protocol, versions 1 and 2: what a balancer that passes bytes on says of the client
// before the client's own bytes (haproxy.org, "The PROXY protocol", revision 2020/03/05). Pure.

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "loop/address.h"

namespace candela::http {

inline constexpr size_t kProxyHeaderBytesMax = 4096;  // version 2 with its additions

struct ProxyHeader {
    size_t bytes = 0;  // that the header took
    // Absent: the balancer speaks for itself (a health check), or does not say.
    std::optional<Address> client;
};

// Nothing where more bytes are needed; an error where they are no header. Additions (TLVs) are
// passed over.
Result<std::optional<ProxyHeader>> parse_proxy_header(std::string_view bytes);

}  // namespace candela::http
