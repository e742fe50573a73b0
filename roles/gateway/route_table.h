#pragma once

// Which service answers a request: host first (exact, then any), then the longest path prefix that ends
// on a border between segments. Built from the lighthouse's table, immutable from then on, and shared
// by all loops; a newer table replaces it whole. Looking up allocates nothing.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proto/messages.h"

namespace candela::gateway {

// "hello.example.com:8080" -> "hello.example.com" in lower case, without the dot of a full name; written
// into `buffer`. Empty where it is longer than a host name can be.
constexpr size_t kHostBytesMax = 255;
std::string_view normalize_host(std::string_view authority, std::string& buffer);

// The path of a request's target as routes see it: without query, unreserved characters unescaped
// (RFC 3986 §6.2.2.2) and dot segments resolved (§5.2.4). Nothing where it climbs above the root. Uses
// `buffer` only where something had to change.
std::optional<std::string_view> normalize_path(std::string_view target, std::string& buffer);

class RouteTable {
public:
    struct Match {
        const proto::RouteService* service = nullptr;
        size_t service_index = 0;
        // The part of the normalised path that the route covers: "/api" of "/api/users".
        size_t prefix_bytes = 0;
    };

    explicit RouteTable(proto::RouteTable table);

    std::optional<Match> find(std::string_view host, std::string_view path) const;

    uint64_t version() const { return table_.version; }
    const std::vector<proto::RouteService>& services() const { return table_.services; }
    const proto::RouteTable& source() const { return table_; }
    // Routes that another service had already, as text for the log.
    const std::vector<std::string>& conflicts() const { return conflicts_; }

private:
    struct TextHash {
        using is_transparent = void;
        size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>()(text);
        }
    };
    template <class T>
    using TextMap = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

    struct Host {
        TextMap<size_t> services;  // by prefix, without a slash at the end; "" is the root
        size_t prefix_bytes_max = 0;
    };
    std::optional<Match> find_in(const Host& host, std::string_view path) const;

    proto::RouteTable table_;
    TextMap<Host> hosts_;
    Host any_;
    std::vector<std::string> conflicts_;
};

using RouteTablePtr = std::shared_ptr<const RouteTable>;

}  // namespace candela::gateway
