#pragma once

// Which service answers a request: host first (exact, then any), then the longest path prefix that
// ends on a border between segments. Built from the lighthouse's table, immutable from then on, and
// shared by all loops; a newer table replaces it whole. Looking up allocates nothing.

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

class RouteTable {
public:
    struct Match {
        const proto::RouteService* service = nullptr;
        size_t service_index = 0;
        // The part of the normalised path that the route covers: "/api" of "/api/users".
        size_t prefix_bytes = 0;
    };

    explicit RouteTable(proto::RouteTable table);

    // The host in lower case without port and final dot, the path in normal form (http/target.h).
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
