#include "http/proxy.h"

#include <algorithm>

#include "http/announced_stream.h"
#include "http/detached_request.h"
#include "http/exchange.h"
#include "http/h2_connection.h"
#include "http/proxy_connection.h"

namespace candela::http {

Proxy::Proxy(Loop& loop, Router& router, ProxyOptions options, Logger log)
    : loop_(loop),
      router_(router),
      options_(std::move(options)),
      log_(std::move(log)),
      clean_up_timer_(loop.timers(), [this] { clean_up(); }),
      grace_timer_(loop.timers(), [this] { clean_up(); }) {}

Proxy::~Proxy() {
    on_empty_ = nullptr;
    while (!connections_.empty()) connections_.back()->close();
    buried_.clear();
    detached_.clear();
}

Loop::AcceptHandler Proxy::acceptor(Loop::AcceptHandler then) {
    if (then == nullptr) then = [this](StreamPtr stream) { accept(std::move(stream)); };
    if (!options_.proxy_protocol) return then;
    announced_.push_back(std::make_shared<Loop::AcceptHandler>(
        accept_announced(loop_, options_.trusted_peers, log_, std::move(then))));
    return [handler = announced_.back()](StreamPtr stream) { (*handler)(std::move(stream)); };
}

void Proxy::accept(StreamPtr stream) {
    const bool is_closed = draining_ && idle_grace_ == Duration(0);
    if (is_closed || connections_.size() >= options_.connections_max) {
        bump(counters_.connections_refused);
        return;
    }
    bump(counters_.connections_accepted);
    if (stream->alpn() == "h2") {
        add(std::make_unique<H2Connection>(*this, std::move(stream)));
    } else {
        add(std::make_unique<ProxyConnection>(*this, std::move(stream)));
    }
}

void Proxy::add(std::unique_ptr<ProxyClient> client) {
    client->index = connections_.size();
    connections_.push_back(std::move(client));
    counters_.connections_open.store(connections_.size(), std::memory_order_relaxed);
    ProxyClient& added = *connections_.back();
    added.start();
    if (draining_) added.drain();
}

void Proxy::drain(std::move_only_function<void()> on_empty, Duration idle_grace) {
    draining_ = true;
    idle_grace_ = idle_grace;
    if (idle_grace == Duration(0)) announced_.clear();
    grace_timer_.start(idle_grace);
    on_empty_ = std::move(on_empty);
    // Closing one moves the last into its place, so from the back.
    for (size_t i = connections_.size(); i-- > 0;) connections_[i]->drain();
}

void Proxy::retire(std::unique_ptr<Upstream> upstream) {
    upstream->retire();
    if (!upstream->is_unused()) retired_.push_back(std::move(upstream));
}

void Proxy::collect_busy(std::vector<std::string>& ids) const {
    for (const auto& upstream : retired_) upstream->collect_busy(ids);
}

std::unique_ptr<RequestParser> Proxy::take_parser() {
    if (free_parsers_.empty()) return std::make_unique<RequestParser>(options_.request_limits);
    std::unique_ptr<RequestParser> parser = std::move(free_parsers_.back());
    free_parsers_.pop_back();
    return parser;
}

void Proxy::give_back_parser(std::unique_ptr<RequestParser> parser) {
    if (free_parsers_.size() >= kFreeParsersMax) return;
    const RequestHead& head = parser->head();
    const bool is_large = head.target.size() + head.headers.size_bytes() > kKeptHeadBytesMax;
    if (is_large || !parser->trailers().empty()) parser->release();
    free_parsers_.push_back(std::move(parser));
}

void Proxy::set_options(ProxyOptions options) {
    options_ = std::move(options);
    ++options_version_;
    free_parsers_.clear();
}

Exchange& Proxy::take_exchange() {
    if (free_exchanges_.empty()) {
        all_exchanges_.push_back(std::make_unique<Exchange>(*this));
        free_exchanges_.reserve(all_exchanges_.size());
        return *all_exchanges_.back();
    }
    Exchange* exchange = free_exchanges_.back();
    free_exchanges_.pop_back();
    return *exchange;
}

void Proxy::recycle(Exchange& exchange) {
    free_exchanges_.push_back(&exchange);
    if (!retired_.empty()) clean_up_timer_.start(Duration(0));
}

void Proxy::bury(ProxyClient& client) {
    const size_t index = client.index;
    buried_.push_back(std::move(connections_[index]));
    if (index + 1 != connections_.size()) {
        connections_[index] = std::move(connections_.back());
        connections_[index]->index = index;
    }
    connections_.pop_back();
    counters_.connections_open.store(connections_.size(), std::memory_order_relaxed);
    clean_up_timer_.start(Duration(0));
}

void Proxy::add_detached(std::unique_ptr<DetachedRequest> request) {
    detached_.push_back(std::move(request));
    clean_up_soon();
}

void Proxy::clean_up() {
    buried_.clear();
    std::erase_if(detached_, [](const auto& request) { return request->is_done(); });
    for (size_t i = 0; i < detached_.size(); ++i) {
        if (!detached_[i]->is_begun()) detached_[i]->start();
    }
    std::erase_if(retired_, [](const auto& upstream) { return upstream->is_unused(); });
    const bool is_over = draining_ && connections_.empty() && !grace_timer_.is_active();
    if (is_over && on_empty_) std::exchange(on_empty_, nullptr)();
}

// Of a simulated loop there is no other time.
MonoTime Proxy::precise_now() const {
    return loop_.uv() != nullptr ? std::chrono::steady_clock::now() : loop_.now();
}

// The system's clock is asked once a second: each question costs more than the rest of this.
std::string_view Proxy::date() {
    if (loop_.now() < date_good_until_ && !date_.empty()) return date_;
    const int64_t millis = unix_millis(loop_.wall());
    date_good_until_ = loop_.now() + std::chrono::milliseconds(1000 - millis % 1000);
    date_ = format_http_date(millis / 1000);
    return date_;
}

}  // namespace candela::http
