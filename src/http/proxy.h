#pragma once

// The proxy core of gateway and load balancer, on one loop: takes client connections, reads
// HTTP/1.1 and HTTP/2 requests, asks the Router where each goes, and streams both ways through an
// Upstream's pooled connections. On a warm HTTP/1.1 connection a request costs no allocation.
//
//   ProxyConnection  one HTTP/1.1 client: requests in, timeouts, pipelining     proxy_connection.h
//   H2Connection     one HTTP/2 client, with an H2Stream for each request       h2_connection.h
//   Exchange         one request and its answer, from a pool                    exchange.h
//   Upstream         a service: endpoints, connections, held requests           upstream.h
//
// What is retried: a request of which no byte was written, always; an idempotent one without a body
// sent, if no byte of an answer came, within a budget. Never anything else: that is 502 or 504.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "http/cork.h"
#include "http/h1_parser.h"
#include "http/proxy_headers.h"
#include "http/requester.h"
#include "http/route_options.h"
#include "http/upstream.h"
#include "loop/loop.h"

namespace candela::http {

class DetachedRequest;
class Exchange;
class H2Connection;
class ProxyClient;
class ProxyConnection;
class ResponseCache;

// For Proxy::drain() where another process accepts already, so that nobody waits for this one.
inline constexpr Duration kHandedOverGrace = 2s;

struct ProxyOptions {
    ParserLimits request_limits;
    ParserLimits response_limits{.head_bytes_max = 64 * 1024};
    size_t connections_max = 16384;          // clients, on this loop; one more is closed at once
    size_t held_requests_max = 1024;         // over all upstreams of this loop
    size_t pipelined_bytes_max = 64 * 1024;  // read ahead of the request being answered
    size_t buffer_bytes_max = 256 * 1024;    // queued behind a slow reader, in each direction
    uint64_t body_bytes_max = 0;             // of a request; 0: no limit
    Duration head_timeout = 15s;             // from a request's first byte to its empty line; 408
    Duration idle_timeout = 75s;             // between requests
    uint64_t body_rate_bytes_min = 256;      // per second, averaged over the window; 408
    Duration body_rate_window = 15s;
    Duration send_timeout = 60s;   // a client that takes nothing for so long is cut off
    Duration linger_timeout = 5s;  // after the last answer, until the client has closed too
    Duration connect_timeout = 5s;
    Duration response_timeout = 2min;  // from the request's last byte to the answer's head; 504
    Duration stream_timeout = 1h;      // silence within an answer
    Duration relay_timeout = 1h;       // silence in both directions after an upgrade
    uint32_t h2_streams_max = 128;     // requests in progress on one HTTP/2 connection
    bool proxy_protocol = false;       // each client connection begins with a PROXY header
    uint16_t https_port = 443;         // where clients that must use HTTPS are led
    TrustedPeers trusted_peers;
};

// What is known of a request when its route is asked for. Views are good during the call.
struct RouteRequest {
    const RequestHead& head;
    std::string_view host;  // in lower case, without port; empty where there is none
    std::string_view path;  // in normal form, without query
    std::string_view query;
};

// Where a request goes: to an upstream, or to an answer of our own.
struct RouteResult {
    Upstream* upstream = nullptr;
    RouteOptionsPtr options;     // null: none
    Upstream* mirror = nullptr;  // gets a copy, as options->mirror says
    std::string_view prefix;     // that the route covers, for X-Forwarded-Prefix; "" for the root
    int status = 404;
    std::string_view text = "no route leads here";
    void* measure = nullptr;  // the router's own; comes back in the record
};

// A request with its route: an upstream and the target that it is asked for, or an answer of the
// proxy's own.
struct RoutedRequest {
    RouteResult route;
    std::string_view target;
    uint64_t body_bytes_max = 0;     // of the request; UINT64_MAX: no limit
    std::string_view host;           // in lower case, without port
    std::string_view public_target;  // as the client asked for it, its path in normal form
    bool is_fetch_forced = false;    // for the cache, whatever is stored
    bool ends_connection = false;    // on HTTP/1.1: what was asked leaves its framing in doubt
    const FieldEdits* mirror_edits = nullptr;  // of a copy, which has no options
    const Headers* fields = nullptr;           // of an answer of our own
    const Headers* request_fields = nullptr;   // added for the upstream
    // Must be right, by the options' basic_auth, before the request goes on.
    std::optional<BasicCredentials> unchecked;

    // For an answer of our own; null: none.
    const ErrorPages* pages() const {
        return route.options != nullptr ? route.options->pages.get() : nullptr;
    }
};

// How the cache of a route has answered.
enum class CacheResult : uint8_t {
    kNone,  // the route has none
    kHit,
    kStale,        // past its time, and used all the same
    kRevalidated,  // the service said that it is still right
    kMiss,
    kBypass,  // the request is not for a cache
};

// One request, answered or not, when it is over.
struct ProxyRecord {
    const RequestHead& head;
    Upstream* upstream;         // null for answers of our own
    std::string_view endpoint;  // the last one tried; empty: none
    int status;                 // sent to the client; 0: it went away before
    Duration duration;
    uint64_t received_bytes;  // of the request's body
    uint64_t sent_bytes;      // of the answer
    ClientInfo client;
    std::string_view trace_id;  // as told to the upstream; empty for answers of our own
    CacheResult cache = CacheResult::kNone;
    void* measure = nullptr;  // of the route; null for answers of our own
};

class Router {
public:
    virtual RouteResult route(const RouteRequest& request) = 0;
    virtual void on_done(const ProxyRecord& record) = 0;

protected:
    ~Router() = default;
};

// Written by its loop, read by any thread.
struct ProxyCounters {
    std::atomic<uint64_t> connections_accepted{0};
    std::atomic<uint64_t> connections_refused{0};
    std::atomic<uint64_t> connections_open{0};
    std::atomic<uint64_t> requests{0};
    std::atomic<uint64_t> requests_in_flight{0};
    std::atomic<uint64_t> requests_malformed{0};
    std::atomic<uint64_t> requests_held{0};  // now
    std::atomic<uint64_t> upgrades{0};
    std::atomic<uint64_t> mirrors_answered{0};
    std::atomic<uint64_t> mirrors_failed{0};   // no answer, or a server's error
    std::atomic<uint64_t> mirrors_dropped{0};  // too many, or too large
};

class Proxy {
public:
    // The router outlives the proxy.
    Proxy(Loop& loop, Router& router, ProxyOptions options, Logger log);
    // Closes everything at once.
    ~Proxy();
    Proxy(const Proxy&) = delete;
    Proxy& operator=(const Proxy&) = delete;

    // What a listener is to call: `then`, or accept() where it is null, after the PROXY header
    // where the options say that there is one. The proxy must outlive the listener.
    Loop::AcceptHandler acceptor(Loop::AcceptHandler then = nullptr);
    // Serves the stream.
    void accept(StreamPtr stream);
    // Closes idle connections and answers the others with Connection: close. `on_empty` is called
    // once no connection is left, perhaps at once. With a grace, an idle connection is closed only
    // when it stays idle for so long, since its next request may be on its way; connections that
    // are accepted meanwhile are served; and on_empty comes after the grace.
    void drain(std::move_only_function<void()> on_empty, Duration idle_grace = Duration(0));
    // Takes an upstream that no route leads to any more (the router must know that before): its
    // held requests are answered 503, and it is destroyed when those in flight are done. Until then
    // collect_busy() tells of it.
    void retire(std::unique_ptr<Upstream> upstream);
    void collect_busy(std::vector<std::string>& ids) const;

    // Shared by the proxies of a process; null: nothing is kept. Before the first request.
    void set_cache(std::shared_ptr<ResponseCache> cache) { cache_ = std::move(cache); }

    size_t connection_count() const { return connections_.size(); }
    const ProxyCounters& counters() const { return counters_; }
    const ProxyOptions& options() const { return options_; }
    // For what begins from now on.
    void set_options(ProxyOptions options);

private:
    friend class DetachedRequest;
    friend class Exchange;
    friend class H2Connection;
    friend class H2Stream;
    friend class ProxyConnection;

    // Views of the result are good until the next call, and as long as the head. Where it has an
    // upstream and options, options->leave() is owed.
    RoutedRequest find_route(Requester& client);
    // What the route's options make of it: an answer of our own, or another target.
    void apply_options(Requester& client, const RouteRequest& request, RoutedRequest& out);
    void lead_elsewhere(const RouteRequest& request, RoutedRequest& out);
    void check_login(const RouteOptions& options, const Headers& request, RoutedRequest& out);
    void check_certificate(Requester& client, const RouteRequest& request, RoutedRequest& out);
    void ask_for_token(const Error& error, const Headers& request, RoutedRequest& out);
    bool is_rate_exceeded(const Requester& client, const RouteOptions& options, Headers& fields);
    void add(std::unique_ptr<ProxyClient> client);
    // Frees it in a later step of the loop.
    void bury(ProxyClient& client);
    // A connection has a parser only while it has a request: a few serve many connections.
    std::unique_ptr<RequestParser> take_parser();
    // Only between messages, and only one that was made with these options.
    void give_back_parser(std::unique_ptr<RequestParser> parser);
    Exchange& take_exchange();
    void recycle(Exchange& exchange);
    void clean_up();
    void clean_up_soon() { clean_up_timer_.start(Duration(0)); }
    // It begins in a later step of the loop.
    void add_detached(std::unique_ptr<DetachedRequest> request);
    bool may_encode() const { return encoders_ < kEncodersMax; }
    std::string_view date();
    // The loop's own time is that of its round, in milliseconds: most requests take less.
    MonoTime precise_now() const;

    // Each has up to a megabyte; answers beyond them go out as they come.
    static constexpr size_t kEncodersMax = 256;
    // Parsers that wait for a request; further ones are freed.
    static constexpr size_t kFreeParsersMax = 256;
    // Of a head: beyond, its memory isn't kept for the next request.
    static constexpr size_t kKeptHeadBytesMax = 8 * 1024;

    Loop& loop_;
    Router& router_;
    ProxyOptions options_;
    uint32_t options_version_ = 0;
    Logger log_;
    ProxyCounters counters_;
    Cork to_client_;
    Cork to_upstream_;
    std::string host_buffer_;
    std::string target_buffer_;
    std::string rewritten_;  // target or Location
    Headers own_fields_;     // of the last answer of our own
    Headers request_fields_;
    std::string refusal_;  // its text
    std::string date_;
    MonoTime date_good_until_{};
    bool draining_ = false;
    Duration idle_grace_{0};
    // What waits for a PROXY header: it outlives the listener.
    std::vector<std::shared_ptr<Loop::AcceptHandler>> announced_;
    std::move_only_function<void()> on_empty_;
    std::vector<std::unique_ptr<Upstream>> retired_;
    std::vector<std::unique_ptr<Exchange>> all_exchanges_;
    std::vector<Exchange*> free_exchanges_;
    std::vector<std::unique_ptr<RequestParser>> free_parsers_;
    std::shared_ptr<ResponseCache> cache_;
    std::vector<std::unique_ptr<DetachedRequest>> detached_;
    size_t mirrors_ = 0;   // copies that are gathered or on their way
    size_t encoders_ = 0;  // of answers in progress
    std::vector<std::unique_ptr<ProxyClient>> connections_;
    std::vector<std::unique_ptr<ProxyClient>> buried_;
    Timer clean_up_timer_;
    Timer grace_timer_;
};

}  // namespace candela::http
