// How an exchange comes by its responder: which endpoint, a pooled connection or a new one, a
// stream of a session, or a wait until there is one of them.

#include "http/exchange.h"
#include "http/h2_call.h"

namespace candela::http {
namespace {

// A request that can't be repeated takes a pooled connection only when it was in use a moment ago:
// one that the endpoint is closing right now would lose it.
constexpr Duration kFreshConnection = 1s;

}  // namespace

void Exchange::attempt() {
    endpoint_ = upstream_->pick(std::span<Load* const>(tried_.data(), tried_count_));
    if (endpoint_ == nullptr) {
        hold();
        return;
    }
    ++attempts_;
    if (tried_count_ < tried_.size()) tried_[tried_count_++] = endpoint_;
    is_counted_ = false;
    if (endpoint_->counts() != nullptr) asked_at_ = proxy_.precise_now();
    connect();
}

void Exchange::connect() {
    if (endpoint_->is_http2()) return connect_http2();
    if (!use_fresh_) {
        const Duration age_max = is_idempotent_ ? Duration::max() : kFreshConnection;
        UpstreamConnectionPtr pooled = endpoint_->take_idle(proxy_.loop_.now(), age_max);
        if (pooled != nullptr) {
            open(UpstreamConnection::lend(std::move(pooled)));
            return;
        }
    }
    state_ = State::kConnecting;
    bump(upstream_->counters_.connects);
    timer_.start(proxy_.options_.connect_timeout);
    connecting_ = endpoint_->connector().connect(
        proxy_.loop_, [this](Result<StreamPtr> result) { on_connected(std::move(result)); });
}

void Exchange::hold() {
    const MonoTime now = proxy_.loop_.now();
    if (!was_held_) {
        hold_until_ = now + upstream_->options_.hold_timeout;
        bump(upstream_->counters_.holds);
    }
    was_held_ = true;
    const bool is_full = upstream_->held_.size() >= upstream_->options_.hold_requests_max ||
                         proxy_.counters_.requests_held.load(std::memory_order_relaxed) >=
                             proxy_.options_.held_requests_max;
    if (is_full || now >= hold_until_) {
        bump(upstream_->counters_.hold_failures);
        fail(503, is_full ? "has no instance ready, and too many requests wait for one"
                          : "had no instance ready in time");
        return;
    }
    state_ = State::kHeld;
    tried_count_ = 0;  // what is ready when it wakes may be one of them
    bump(proxy_.counters_.requests_held);
    upstream_->hold(*this);
    timer_.start(hold_until_ - now);
}

void Exchange::on_woken() {
    bump(proxy_.counters_.requests_held, static_cast<uint64_t>(-1));
    state_ = State::kConnecting;
    attempt();
}

void Exchange::on_connected(Result<StreamPtr> result) {
    connecting_.reset();
    if (!result) {
        bump(upstream_->counters_.connect_failures);
        on_connect_failed(result.error());
        return;
    }
    open(UpstreamConnection::lend(std::make_unique<UpstreamConnection>(
        *endpoint_, std::move(*result), proxy_.options_.response_limits, proxy_.to_upstream_,
        announcement())));
}

std::string Exchange::announcement() const {
    const ProxyVersion version = endpoint_->proxy_header();
    if (version == ProxyVersion::kNone) return {};
    Address client;
    Address server;
    if (const Stream* const connection = client_->connection()) {
        client = connection->peer();
        server = connection->local();
    }
    // A proxy before us has told the client's address, and not its port.
    const std::string_view ip = client_ip_of(
        client_->request_head().headers, client_->client_info().ip, proxy_.options_.trusted_peers);
    if (client.kind != Address::Kind::kTcp || client.host != ip) client = Address::tcp(ip, 0);
    return write_proxy_header(version, client, server);
}

void Exchange::connect_http2() {
    H2Upstream& sessions = endpoint_->http2(
        H2UpstreamOptions{proxy_.options_.response_limits, proxy_.options_.connect_timeout});
    if (H2Call* const call = sessions.open_call()) return open(ResponderPtr(call));
    if (!sessions.has_room()) {
        upstream_->release(*std::exchange(endpoint_, nullptr));
        hold();
        return;
    }
    state_ = State::kConnecting;
    timer_.start(proxy_.options_.connect_timeout);
    connecting_ = sessions.wait([this](Result<> ready) { on_session(std::move(ready)); });
}

void Exchange::on_session(Result<> ready) {
    connecting_.reset();
    if (ready) {
        // Others may have been quicker, and it waits for the next one.
        connect_http2();
    } else if (ready.error().code() == Code::kUnsupported) {
        // Another protocol than was said: nothing that waiting would mend.
        Balancer::on_failure(*endpoint_, EndpointFailure::kResponse, proxy_.loop_.now());
        count_failure();
        fail(502, ready.error().message());
    } else {
        on_connect_failed(ready.error());
    }
}

void Exchange::on_connect_failed(const Error& error) {
    proxy_.log_.debug(
        "upstream_connect_failed",
        {{"service", upstream_->name()}, {"endpoint", endpoint_->id()}, {"error", error}});
    Balancer::on_failure(*endpoint_, EndpointFailure::kConnect, proxy_.loop_.now());
    count_failure();
    upstream_->release(*std::exchange(endpoint_, nullptr));
    // Nothing was written: it may go anywhere, as often as there are endpoints that can be
    // reached.
    attempt();
}

}  // namespace candela::http
