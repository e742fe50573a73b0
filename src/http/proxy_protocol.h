#pragma once

// The PROXY protocol, versions 1 and 2: what a balancer that passes bytes on says of the client
// before the client's own bytes (haproxy.org, "The PROXY protocol", revision 2020/03/05): read from
// a balancer, and written to a service. Pure.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
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

// What begins a connection to a service.
enum class ProxyVersion : uint8_t { kNone, kV1, kV2 };

// "none", "v1", "v2".
std::string_view to_string(ProxyVersion version);
Result<ProxyVersion> parse_proxy_version(std::string_view text);

// Says that the client is at `source` and has connected to `destination`, of which only TCP
// addresses of the source's family are told; IPv4 in IPv6 is IPv4. A source that is no IP literal
// is unknown: UNKNOWN in version 1, LOCAL in version 2. Not for kNone.
std::string write_proxy_header(ProxyVersion version, const Address& source,
                               const Address& destination);

}  // namespace candela::http
