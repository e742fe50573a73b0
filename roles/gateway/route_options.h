#pragma once

// From what service.toml says of a route to what the proxy does.

#include <functional>
#include <memory>
#include <string>

#include "http/route_options.h"
#include "proto/messages.h"
#include "service/route.h"

namespace candela::gateway {

// What a service has said for all its routes.
struct ServiceOptions {
    std::string space;
    std::string identity;                           // the same where all of this is
    std::shared_ptr<const http::ErrorPages> pages;  // null: none
    bool is_in_maintenance = false;
    Duration maintenance_retry{};
    std::shared_ptr<const http::TrustedPeers> maintenance_allowed;

    bool is_plain() const { return pages == nullptr && !is_in_maintenance; }
};
ServiceOptions service_options(const proto::RouteService& service);

// The keys that a URL leads to, whose server has a certificate of that authority (PEM).
using KeysOf = std::function<std::shared_ptr<http::JwtKeys>(const std::string& url,
                                                            const std::string& ca_pem)>;

// Null where the route asks for nothing. The route is one that check_route() finds nothing in, and
// its service is of that space; `keys_of` is there where it names keys by URL.
http::RouteOptionsPtr make_route_options(const service::Route& route, const ServiceOptions& service,
                                         const KeysOf& keys_of);

}  // namespace candela::gateway
