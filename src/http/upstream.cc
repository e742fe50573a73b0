#include "http/upstream.h"

#include <algorithm>

#include "base/check.h"
#include "http/exchange.h"

namespace candela::http {

namespace {

constexpr Duration kSweepInterval = 1s;  // between two looks for connections idle for too long

}  // namespace

Endpoint::Endpoint(Upstream& upstream, const EndpointSpec& spec)
    : upstream_(upstream), spec_(spec) {}

H2Upstream& Endpoint::http2(const H2UpstreamOptions& options) {
    if (http2_ == nullptr) http2_ = std::make_unique<H2Upstream>(*this, options);
    return *http2_;
}

bool Endpoint::has_room() const {
    const size_t max = upstream_.options_.connections_max;
    if (is_http2()) return in_flight < max && (http2_ == nullptr || http2_->has_room());
    return !idle_.empty() || connections_ < max;
}

Endpoint::~Endpoint() {
    idle_.clear();
    CANDELA_CHECK(connections_ == 0);
}

UpstreamConnectionPtr Endpoint::take_idle(MonoTime now, Duration age_max) {
    if (idle_.empty()) return nullptr;
    const UpstreamConnection& freshest = *idle_.back();
    const Duration age = now - freshest.idle_since_;
    if (age > age_max || age > freshest.idle_max_) return nullptr;
    UpstreamConnectionPtr taken = std::move(idle_.back());
    idle_.pop_back();
    return taken;
}

void Endpoint::put_idle(UpstreamConnectionPtr connection, Duration idle_max) {
    if (is_removed_ || draining || idle_.size() >= upstream_.options_.idle_max) return;
    if (spec_.proxy_header != ProxyVersion::kNone) return;
    connection->was_used_ = true;
    connection->idle_since_ = upstream_.loop_.now();
    connection->idle_max_ = idle_max;
    idle_.push_back(std::move(connection));
    upstream_.note_idle();
}

void Endpoint::drop_idle(UpstreamConnection& connection) {
    const auto place = std::find_if(idle_.begin(), idle_.end(),
                                    [&](const auto& idle) { return idle.get() == &connection; });
    CANDELA_CHECK(place != idle_.end());
    idle_.erase(place);
}

void Endpoint::close_older_than(MonoTime now, Duration age) {
    std::erase_if(idle_, [&](const auto& idle) {
        return now - idle->idle_since_ >= std::min(age, idle->idle_max_);
    });
}

Upstream::Upstream(Loop& loop, std::string name, UpstreamOptions options)
    : loop_(loop),
      name_(std::move(name)),
      options_(options),
      balancer_(loop.random()),
      wake_timer_(loop.timers(), [this] { wake(); }),
      idle_timer_(loop.timers(), [this] { sweep_idle(); }) {}

Upstream::~Upstream() {
    CANDELA_CHECK(users_ == 0);
    CANDELA_CHECK(held_.empty());
}

void Upstream::update(std::vector<EndpointSpec> specs) {
    std::vector<std::unique_ptr<Endpoint>> kept;
    for (EndpointSpec& spec : specs) {
        const auto place =
            std::find_if(endpoints_.begin(), endpoints_.end(), [&](const auto& endpoint) {
                return endpoint != nullptr && endpoint->id() == spec.id &&
                       endpoint->spec_.key == spec.key;
            });
        std::unique_ptr<Endpoint> endpoint;
        if (place != endpoints_.end()) {
            endpoint = std::move(*place);
        } else {
            endpoint = std::make_unique<Endpoint>(*this, spec);
            balancer_.add(*endpoint);
        }
        endpoint->draining = spec.draining;
        endpoint->suspect = spec.suspect;
        endpoint->weight = spec.weight;
        endpoint->spec_.counts = std::move(spec.counts);
        if (spec.draining) endpoint->idle_.clear();
        if (spec.draining && endpoint->http2_ != nullptr) endpoint->http2_->drain();
        kept.push_back(std::move(endpoint));
    }
    for (std::unique_ptr<Endpoint>& gone : endpoints_) {
        if (gone == nullptr) continue;
        gone->is_removed_ = true;
        gone->idle_.clear();
        if (gone->http2_ != nullptr) gone->http2_->drain();
        balancer_.remove(*gone);
        if (gone->in_flight > 0) removed_.push_back(std::move(gone));
    }
    endpoints_ = std::move(kept);
    balancer_.note_weights();
    wake_soon();
}

bool Upstream::may_serve() const {
    return std::ranges::any_of(endpoints_, [](const auto& endpoint) {
        return !endpoint->draining && endpoint->healthy && endpoint->weight > 0;
    });
}

void Upstream::retire() {
    update({});
    options_.hold_requests_max = 0;
    // Without an endpoint and without a place to wait, each of them fails.
    for (size_t count = held_.size(); count > 0; --count) {
        Exchange* exchange = held_.front();
        held_.pop_front();
        exchange->on_woken();
    }
}

void Upstream::set_healthy(std::string_view id, bool healthy) {
    for (const auto& endpoint : endpoints_) {
        if (endpoint->id() != id || endpoint->healthy == healthy) continue;
        endpoint->healthy = healthy;
        if (healthy) {
            endpoint->unreachable_until = {};
            Balancer::on_success(*endpoint);
            wake_soon();
        }
    }
}

void Upstream::collect_busy(std::vector<std::string>& ids) const {
    for (const auto& endpoint : removed_) ids.push_back(endpoint->id());
    for (const auto& endpoint : endpoints_) {
        if (endpoint->draining && endpoint->in_flight > 0) ids.push_back(endpoint->id());
    }
}

Endpoint* Upstream::pick(std::span<Load* const> tried) {
    Load* load = balancer_.pick(loop_.now(), tried);
    if (load == nullptr) return nullptr;
    auto* endpoint = static_cast<Endpoint*>(load);
    if (!endpoint->has_room()) return nullptr;
    ++endpoint->in_flight;
    return endpoint;
}

void Upstream::release(Endpoint& endpoint) {
    --endpoint.in_flight;
    if (endpoint.is_removed_ && endpoint.in_flight == 0) bury_removed();
    if (!held_.empty()) wake_soon();
}

void Upstream::bury_removed() {
    std::erase_if(removed_, [](const auto& endpoint) { return endpoint->in_flight == 0; });
}

void Upstream::hold(Exchange& exchange) {
    exchange.held_at_ = held_.insert(held_.end(), &exchange);
    const MonoTime now = loop_.now();
    const MonoTime retry = balancer_.next_retry(now);
    if (retry != MonoTime::max() && !wake_timer_.is_active()) wake_timer_.start(retry - now);
}

void Upstream::unhold(Exchange& exchange) { held_.erase(exchange.held_at_); }

void Upstream::wake_soon() {
    if (held_.empty()) return;
    wake_timer_.stop();
    wake_timer_.start(Duration(0));
}

void Upstream::wake() {
    // Each that goes on either gets a connection or waits for one, so this ends.
    size_t budget = held_.size();
    while (budget-- > 0 && !held_.empty()) {
        Endpoint* endpoint = pick({});
        if (endpoint == nullptr) break;
        --endpoint->in_flight;
        Exchange* exchange = held_.front();
        held_.pop_front();
        exchange->on_woken();
    }
    if (held_.empty() || wake_timer_.is_active()) return;
    const MonoTime now = loop_.now();
    const MonoTime retry = balancer_.next_retry(now);
    if (retry != MonoTime::max()) wake_timer_.start(retry - now);
}

void Upstream::note_idle() {
    if (!idle_timer_.is_active()) idle_timer_.start(kSweepInterval, kSweepInterval / 4);
}

void Upstream::sweep_idle() {
    const MonoTime now = loop_.now();
    bool any_left = false;
    for (const auto& endpoint : endpoints_) {
        endpoint->close_older_than(now, options_.idle_timeout);
        any_left = any_left || !endpoint->idle_.empty();
    }
    if (any_left) idle_timer_.start(kSweepInterval, kSweepInterval / 4);
}

}  // namespace candela::http
