#pragma once

// Sends shares of a route's requests to other services than its own: a canary, say. By chance, or
// by what a request has in a header or cookie, so that one client stays where it is, on every
// gateway and over restarts, and moves at most once while a share only grows. Immutable; any
// thread.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "http/headers.h"

namespace candela::http {

// The first cookie of that name (RFC 6265 §5.4); nothing where there is none.
std::optional<std::string_view> cookie_of(const Headers& headers, std::string_view name);

class TrafficSplit {
public:
    struct Share {
        std::string service;  // "space/service"
        uint32_t percent = 0;
    };
    enum class By : uint8_t { kChance, kHeader, kCookie };

    // The percents are 100 together, or less: the rest is the route's own service's.
    TrafficSplit(std::vector<Share> shares, By by, std::string name);

    // Null: the route's own service. Without the header or cookie, chance decides.
    const Share* choose(const Headers& request, Random& random) const;

private:
    std::vector<Share> shares_;
    By by_;
    std::string name_;
    uint64_t salt_;
};

}  // namespace candela::http
