#pragma once

// From what service.toml says of a route to what the proxy does.

#include "http/route_options.h"
#include "service/route.h"

namespace candela::gateway {

// Null where the route asks for nothing. The route is one that check_route() finds nothing in, and
// its service is of that space.
http::RouteOptionsPtr make_route_options(const service::Route& route, std::string_view space);

}  // namespace candela::gateway
