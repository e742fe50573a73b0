#pragma once

// From what service.toml says of a route to what the proxy does.

#include "http/route_options.h"
#include "service/route.h"

namespace candela::gateway {

// Null where the route asks for nothing. The route is one that check_route() finds nothing in.
http::RouteOptionsPtr make_route_options(const service::Route& route);

}  // namespace candela::gateway
