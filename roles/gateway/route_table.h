#pragma once

// Which service answers a request: host first (exact, then "*.", then any), then the longest path
// prefix that ends on a border between segments, then the route with the most conditions that hold.
// Built from the lighthouse's table, immutable from then on, and shared by all loops; a newer table
// replaces it whole. Looking up allocates nothing.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "http/proxy.h"
#include "proto/messages.h"
#include "route_conditions.h"
#include "route_options.h"
#include "tls/certificate_asks.h"

namespace candela::gateway {

class RouteTable {
public:
    struct Match {
        const proto::RouteService* service = nullptr;
        size_t service_index = 0;
        // The part of the normalised path that the route covers: "/api" of "/api/users".
        size_t prefix_bytes = 0;
        http::RouteOptionsPtr options;  // null: none
        size_t route_index = 0;         // in route_names()
    };

    // What a route is called in metrics. Routes that differ by their conditions only share a name.
    struct RouteName {
        std::string service;  // "space/service"
        std::string route;    // host and path: "shop.example.org/api"
        friend bool operator==(const RouteName&, const RouteName&) = default;
    };

    // Routes that stand in `previous` with the same settings keep their options, and so the count
    // of what is in flight and of who asked how often.
    // `keys_of` gives the keys of routes that name them by URL; only called here.
    explicit RouteTable(proto::RouteTable table, const RouteTable* previous = nullptr,
                        const KeysOf& keys_of = KeysOf());

    // The host in lower case without port and final dot, the path in normal form (http/target.h).
    std::optional<Match> find(const http::RouteRequest& request) const;

    uint64_t version() const { return table_.version; }
    const std::vector<proto::RouteService>& services() const { return table_.services; }
    const std::vector<RouteName>& route_names() const { return route_names_; }
    const proto::RouteTable& source() const { return table_; }
    // Which hosts' clients are asked for a certificate, and by which authority.
    const std::vector<tls::CertificateAsk>& certificate_asks() const { return asks_; }
    // What can't be served as it is written, as text for the log: routes that another service had
    // already, or that this gateway does not understand.
    const std::vector<std::string>& problems() const { return problems_; }

private:
    struct TextHash {
        using is_transparent = void;
        size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>()(text);
        }
    };
    template <class T>
    using TextMap = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

    struct Rule {
        size_t service = 0;
        size_t route = 0;  // its name's index
        RouteConditions conditions;
        http::RouteOptionsPtr options;
    };
    struct Host {
        // By prefix, without a slash at the end; "" is the root. Of each, the strictest first.
        TextMap<std::vector<Rule>> rules;
        size_t prefix_bytes_max = 0;
    };

    void add(size_t service_index, const proto::Route& route, const ServiceOptions& service,
             const RouteTable* previous, const KeysOf& keys_of);
    http::RouteOptionsPtr options_of(const service::Route& settings, const std::string& key,
                                     const ServiceOptions& service, const RouteTable* previous,
                                     const KeysOf& keys_of);
    void add_rule(Host& host, std::string prefix, Rule rule, const proto::Route& route);
    Host& host_of(const std::string& name);
    std::optional<Match> find_in(const Host& host, const http::RouteRequest& request) const;
    std::string name_of(size_t service_index) const;
    size_t index_of_name(RouteName name);

    proto::RouteTable table_;
    TextMap<Host> hosts_;
    TextMap<Host> wildcards_;  // by what follows the star: ".example.org"
    Host any_;
    TextMap<http::RouteOptionsPtr> options_;  // by service and settings
    std::vector<RouteName> route_names_;
    TextMap<size_t> route_indexes_;  // by both parts of the name
    std::vector<tls::CertificateAsk> asks_;
    std::vector<std::string> problems_;
};

using RouteTablePtr = std::shared_ptr<const RouteTable>;

}  // namespace candela::gateway
