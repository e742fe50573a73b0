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

std::unique_ptr<DetachedRequest> DetachedRequest::mirror(Proxy& proxy, const Requester& client,
                                                         const RoutedRequest& routed) {
    const MirrorRules& rules = *routed.route.options->mirror;
    const Framing& framing = client.request_framing();
    const bool is_too_large =
        framing.body == BodyKind::kLength && framing.content_length > rules.body_bytes_max;
    if (proxy.mirrors_ >= kRequestsMax || is_too_large || framing.upgrade) {
        bump(proxy.counters_.mirrors_dropped);
        return nullptr;
    }
    auto made = std::make_unique<DetachedRequest>(proxy, client, *routed.route.mirror,
                                                  routed.route.options);
    made->is_mirror_ = true;
    ++proxy.mirrors_;
    made->body_bytes_max_ = rules.body_bytes_max;
    made->host_ = routed.host;
    made->target_ = routed.target;
    made->public_target_ = routed.public_target;
    made->prefix_ = routed.route.prefix;
    if (routed.request_fields != nullptr) made->added_ = *routed.request_fields;
    made->head_.headers.remove("x-candela-mirror");
    made->added_.add("X-Candela-Mirror", routed.route.upstream->name());
    // The answer is read by nobody, and a copy that waits for 100 would wait in vain.
    made->head_.headers.remove("expect");
    return made;
}

bool DetachedRequest::add_body(std::string_view bytes) {
    if (body_.size() + bytes.size() > body_bytes_max_) {
        bump(proxy_.counters_.mirrors_dropped);
        return false;
    }
    body_.append(bytes);
    return true;
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
    RoutedRequest routed;
    if (is_mirror_) {
        // Whole by now: it goes with its length.
        framing_.body = body_.empty() ? BodyKind::kNone : BodyKind::kLength;
        framing_.content_length = body_.size();
        routed.mirror_edits = &options_->request_fields;
    } else if (options_ != nullptr && !options_->enter()) {
        finish();
        return;
    }
    routed.route.upstream = &upstream_;
    // What the route limits and counts is for clients.
    if (!is_mirror_) routed.route.options = options_;
    routed.route.prefix = prefix_;
    routed.target = target_;
    routed.host = host_;
    routed.public_target = public_target_;
    routed.body_bytes_max = UINT64_MAX;
    routed.request_fields = &added_;
    routed.is_fetch_forced = !is_mirror_;
    deadline_.start(is_mirror_ ? kMirrorTimeMax : kTimeMax);
    exchange_ = &proxy_.take_exchange();
    exchange_->begin(*this, routed);
    feed();
}

void DetachedRequest::feed() {
    if (exchange_ == nullptr) return;
    if (!body_.empty() && !is_body_sent_ && exchange_->takes_body()) {
        is_body_sent_ = true;
        exchange_->send_body(body_);
        exchange_->flush_upstream();
        if (exchange_ == nullptr) return;
    }
    if (!is_end_told_ && (body_.empty() || is_body_sent_)) {
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
    if (is_mirror_) --proxy_.mirrors_;
    if (is_mirror_ && is_begun_) {
        const bool is_answered = status_ != 0 && status_ < 500;
        bump(is_answered ? proxy_.counters_.mirrors_answered : proxy_.counters_.mirrors_failed);
    }
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
