#pragma once

// A service as one loop of a proxy sees it: its endpoints, their pooled connections, the choice
// between them, and the requests held while none is ready. Changing the endpoints is a difference:
// those that stay keep their connections, those that go finish what they have. Lives on one loop
// and allocates only when connections or endpoints come and go.

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "http/answer_counts.h"
#include "http/balancer.h"
#include "http/h2_upstream.h"
#include "http/proxy_protocol.h"
#include "http/upstream_connection.h"
#include "loop/loop.h"
#include "loop/timers.h"

namespace candela::http {

class Endpoint;
class Exchange;
class Upstream;

// How an endpoint is reached: TCP, a unix socket, a tunnel over the bus.
class Connector {
public:
    virtual ~Connector() = default;
    // As Loop::connect: the handler is called later, and destroying the attempt cancels it.
    [[nodiscard]] virtual std::unique_ptr<ConnectAttempt> connect(Loop& loop,
                                                                  Loop::ConnectHandler done) = 0;
};

class AddressConnector final : public Connector {
public:
    explicit AddressConnector(Address address) : address_(std::move(address)) {}
    std::unique_ptr<ConnectAttempt> connect(Loop& loop, Loop::ConnectHandler done) override {
        return loop.connect(address_, std::move(done));
    }

private:
    Address address_;
};

enum class UpstreamProtocol : uint8_t {
    kHttp1,
    kH2c,  // HTTP/2 in the clear, by prior knowledge (RFC 9113 §3.3)
};

struct EndpointSpec {
    std::string id;   // the instance
    std::string key;  // what is at the other end, such as its address: a new key is a new endpoint
    std::shared_ptr<Connector> connector;
    bool draining = false;
    bool suspect = false;
    UpstreamProtocol protocol = UpstreamProtocol::kHttp1;
    uint32_t weight = 100;  // its part of new requests; 0: none
    // Each connection begins with a header that says who the client is, and serves one request: the
    // next may be another client's. Only with kHttp1.
    ProxyVersion proxy_header = ProxyVersion::kNone;
    std::shared_ptr<AnswerCounts> counts;  // where its answers are counted; null: nowhere
};

// Is a Load, so that the balancer's choice is the endpoint.
class Endpoint final : public Load {
public:
    Endpoint(Upstream& upstream, const EndpointSpec& spec);
    ~Endpoint();

    const std::string& id() const { return spec_.id; }
    Upstream& upstream() { return upstream_; }
    Connector& connector() { return *spec_.connector; }
    bool is_removed() const { return is_removed_; }
    size_t idle_connections() const { return idle_.size(); }
    bool is_http2() const { return spec_.protocol == UpstreamProtocol::kH2c; }
    ProxyVersion proxy_header() const { return spec_.proxy_header; }
    AnswerCounts* counts() const { return spec_.counts.get(); }
    // Its sessions; made with these options at the first call.
    H2Upstream& http2(const H2UpstreamOptions& options);
    // Another request may go there now.
    bool has_room() const;

    // The pooled connection used last, if it has not been idle for longer than that.
    UpstreamConnectionPtr take_idle(MonoTime now, Duration age_max);
    void put_idle(UpstreamConnectionPtr connection, Duration idle_max);
    // A pooled connection has ended or spoken out of turn.
    void drop_idle(UpstreamConnection& connection);

private:
    friend class Upstream;
    friend class UpstreamConnection;
    void close_older_than(MonoTime now, Duration age);

    Upstream& upstream_;
    EndpointSpec spec_;
    std::vector<UpstreamConnectionPtr> idle_;  // the last is the freshest
    size_t connections_ = 0;                   // idle and lent
    std::unique_ptr<H2Upstream> http2_;
    bool is_removed_ = false;
};

// Lets retries be a share of requests and no more, so that they can't multiply an overload.
class RetryBudget {
public:
    void on_request() {
        tokens_ = tokens_ + kPerRequest > kTokensMax ? kTokensMax : tokens_ + kPerRequest;
    }
    bool take() {
        if (tokens_ < 1) return false;
        tokens_ -= 1;
        return true;
    }

private:
    static constexpr double kPerRequest = 0.2;
    static constexpr double kTokensMax = 20;
    double tokens_ = 10;
};

struct UpstreamOptions {
    size_t connections_max = 2048;  // to one endpoint, or streams; further requests are held
    size_t idle_max = 1024;         // pooled, of one endpoint
    Duration idle_timeout = 4s;     // below the five seconds after which many servers close
    size_t h2_streams_max = 1024;   // of one session, where the endpoint allows more
    size_t h2_sessions_max = 64;    // to one endpoint that allows fewer
    Duration h2_idle_timeout = 1min;
    size_t hold_requests_max = 256;
    Duration hold_timeout = 30s;
    bool has_cache = false;  // a route of it: what changes things must be noted
    // Body bytes, timeouts and so on are the proxy's (proxy.h).
};

// Written by its loop, read by any thread.
struct UpstreamCounters {
    std::atomic<uint64_t> connects{0};
    std::atomic<uint64_t> connect_failures{0};
    std::atomic<uint64_t> retries{0};
    std::atomic<uint64_t> holds{0};
    std::atomic<uint64_t> hold_failures{0};  // too many, or too long
};

class Upstream {
public:
    Upstream(Loop& loop, std::string name, UpstreamOptions options);
    ~Upstream();
    Upstream(const Upstream&) = delete;
    Upstream& operator=(const Upstream&) = delete;

    const std::string& name() const { return name_; }
    // What the role knows it by; the core only carries it.
    void* user = nullptr;

    // The endpoints that there are from now on.
    void update(std::vector<EndpointSpec> specs);
    void set_options(const UpstreamOptions& options) { options_ = options; }
    const UpstreamOptions& options() const { return options_; }
    // What an active check says of an endpoint.
    void set_healthy(std::string_view id, bool healthy);

    // No route leads here any more: no endpoints, and those held are answered.
    void retire();
    // Adds the ids of endpoints that take nothing new but still have a request in flight.
    void collect_busy(std::vector<std::string>& ids) const;
    // Nobody uses it any more: it may be destroyed.
    bool is_unused() const { return users_ == 0; }
    // Somebody will use it later; remove_user() is owed.
    void add_user() { ++users_; }
    void remove_user() { --users_; }
    // Some endpoint takes requests, as far as it is known.
    bool may_serve() const;
    size_t endpoint_count() const { return endpoints_.size(); }
    size_t held_count() const { return held_.size(); }
    UpstreamCounters& counters() { return counters_; }
    Loop& loop() { return loop_; }

private:
    friend class Endpoint;
    friend class Exchange;
    friend class H2Upstream;

    // For exchanges. The endpoint picked counts one more request in flight until release().
    Endpoint* pick(std::span<Load* const> tried);
    void release(Endpoint& endpoint);
    void hold(Exchange& exchange);
    void unhold(Exchange& exchange);
    // Lets held requests try again, soon.
    void wake_soon();
    void wake();
    void sweep_idle();
    void note_idle();
    void bury_removed();

    Loop& loop_;
    std::string name_;
    UpstreamOptions options_;
    Balancer balancer_;
    RetryBudget budget_;
    UpstreamCounters counters_;
    std::vector<std::unique_ptr<Endpoint>> endpoints_;
    std::vector<std::unique_ptr<Endpoint>> removed_;  // with requests in flight
    std::list<Exchange*> held_;
    size_t users_ = 0;
    Timer wake_timer_;
    Timer idle_timer_;
};

// Adds to a counter that only this thread writes.
inline void bump(std::atomic<uint64_t>& counter, uint64_t count = 1) {
    counter.store(counter.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
}

}  // namespace candela::http
