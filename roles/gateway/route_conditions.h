#pragma once

// What a route asks of a request beyond host and path. Immutable; asking allocates nothing.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/proxy.h"
#include "service/route.h"

namespace candela::gateway {

class RouteConditions {
public:
    RouteConditions() = default;
    explicit RouteConditions(const service::Route& route);

    // `covers_whole_path`: nothing of the request's path is below the route's.
    bool hold(const http::RouteRequest& request, bool covers_whole_path) const;
    // Those that ask for more come first.
    size_t count() const;
    bool operator==(const RouteConditions&) const = default;

private:
    using Pairs = std::vector<std::pair<std::string, std::string>>;
    bool is_exact_ = false;
    std::vector<std::string> methods_;
    Pairs headers_;
    Pairs query_;
};

// Whether the query, as it stands in the target, has that parameter with that value; "*": any.
bool query_has(std::string_view query, std::string_view name, std::string_view value);

}  // namespace candela::gateway
