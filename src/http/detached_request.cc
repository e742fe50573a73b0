#include "http/detached_request.h"

#include "base/check.h"
#include "http/cache_call.h"
#include "http/exchange.h"

namespace candela::http {

void DetachedRequest::fetch(Proxy& proxy, const Requester& client, Upstream& upstream,
                            const RouteOptionsPtr& options, const CacheCall& call) {
    if (proxy.detached_.size() >= kRequestsMax) return;
    auto made = std::make_unique<DetachedRequest>(proxy, client, upstream, options);
    made->head_.method = "GET";
    made->host_ = call.host;
    made->target_ = call.target;
    made->public_target_ = call.public_target;
    made->prefix_ = call.prefix;
    made->added_ = call.added_to_request;
    // What this client demands of an answer has been met.
    made->head_.headers.remove("cache-control");
    made->head_.headers.remove("pragma");
    proxy.add_detached(std::move(made));
}

DetachedRequest::DetachedRequest(Proxy& proxy, const Requester& client, Upstream& upstream,
                                 RouteOptionsPtr options)
    : proxy_(proxy),
      upstream_(upstream),
      options_(std::move(options)),
      head_(client.request_head()),
      client_(client.client_info()),
      ip_(client_.ip),
      deadline_(proxy.loop_.timers(), [this] { close(); }) {
    upstream_.add_user();
}

DetachedRequest::~DetachedRequest() { close(); }

ClientInfo DetachedRequest::client_info() const {
    ClientInfo info = client_;
    info.ip = ip_;
    return info;
}

void DetachedRequest::start() {
    is_begun_ = true;
    if (options_ != nullptr && !options_->enter()) {
        finish();
        return;
    }
    RoutedRequest routed;
    routed.route.upstream = &upstream_;
    routed.route.options = options_;
    routed.route.prefix = prefix_;
    routed.target = target_;
    routed.host = host_;
    routed.public_target = public_target_;
    routed.body_bytes_max = UINT64_MAX;
    routed.request_fields = &added_;
    routed.is_fetch_forced = true;
    deadline_.start(kTimeMax);
    exchange_ = &proxy_.take_exchange();
    exchange_->begin(*this, routed);
    feed();
}

void DetachedRequest::feed() {
    if (exchange_ == nullptr) return;
    if (!is_end_told_) {
        is_end_told_ = true;
        exchange_->end_body();
    }
    if (exchange_ != nullptr) exchange_->flush_upstream();
}

void DetachedRequest::close() {
    if (is_done_) return;
    if (exchange_ != nullptr) std::exchange(exchange_, nullptr)->abort();
    finish();
}

void DetachedRequest::finish() {
    exchange_ = nullptr;
    is_done_ = true;
    deadline_.stop();
    upstream_.remove_user();
    proxy_.clean_up_soon();
}

void DetachedRequest::start_relay() { CANDELA_CHECK(false); }
void DetachedRequest::relay_to_client(std::string_view) { CANDELA_CHECK(false); }
void DetachedRequest::end_relay() { CANDELA_CHECK(false); }
void DetachedRequest::pause_reading() { CANDELA_CHECK(false); }
void DetachedRequest::resume_reading() { CANDELA_CHECK(false); }

}  // namespace candela::http
