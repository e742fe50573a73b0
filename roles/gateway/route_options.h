#pragma once

// From what service.toml says of a route to what the proxy does.

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

// Null where the route asks for nothing. The route is one that check_route() finds nothing in, and
// its service is of that space.
http::RouteOptionsPtr make_route_options(const service::Route& route,
                                         const ServiceOptions& service);

}  // namespace candela::gateway
