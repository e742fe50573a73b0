// An exchange on a route with a cache (RFC 9111): answered from what is stored, from what another
// is fetching, or upstream, and then maybe kept. What is told to clients is RFC 9211.

#include <algorithm>
#include <array>

#include "base/text.h"
#include "http/cache_call.h"
#include "http/cache_key.h"
#include "http/cached_body.h"
#include "http/detached_request.h"
#include "http/exchange.h"
#include "http/target.h"

namespace candela::http {
namespace {

// For another's fetch. Then it asks for itself.
constexpr Duration kFetchWait = 5s;
// For the rest of an answer that nobody wants: its connection may serve another.
constexpr Duration kSwallowTime = 2s;

constexpr std::string_view kStatusName = "candela";

bool is_safe(std::string_view method) {
    return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE";
}

bool is_server_error(int status) {
    return status == 500 || status == 502 || status == 503 || status == 504;
}

}  // namespace

CacheCall::~CacheCall() {
    stop_waiting();
    end_fetch(FetchEnd::kAbandoned);
    drop_gathered();
}

void CacheCall::end_fetch(FetchEnd end) {
    if (std::exchange(is_leading, false)) cache->end_fetch(fetch, end, now);
}

void CacheCall::stop_waiting() {
    if (waiter == nullptr) return;
    waiter->on_end = nullptr;
    cache->leave(fetch, waiter);
    waiter = nullptr;
}

bool CacheCall::gather(std::string_view bytes, uint64_t bytes_max) {
    const uint64_t size = body.size() + bytes.size();
    if (size > bytes_max) return false;
    if (size > reserved) {
        // What the string may take, not what is in it.
        const uint64_t wanted = std::min(std::max(size, 2 * reserved), bytes_max);
        if (!cache->reserve(wanted - reserved)) return false;
        reserved = wanted;
        body.reserve(wanted);
    }
    body.append(bytes);
    return true;
}

void CacheCall::drop_gathered() {
    is_filling = false;
    body = std::string();
    made = nullptr;
    if (reserved > 0) cache->give_back(std::exchange(reserved, 0));
}

// What the request is to the cache; and what of it may go upstream.
void Exchange::plan_cache(const RoutedRequest& routed, ForwardedInfo& info) {
    const RequestHead& head = client_->request_head();
    const bool has_cache = options_ != nullptr && options_->cache != nullptr;
    if (proxy_.cache_ == nullptr || (!has_cache && !upstream_->options_.has_cache)) return;
    const std::string_view authority = head.headers.get(FieldId::kHost).value_or("");
    if (!is_safe(head.method)) {
        const CacheKeyParts parts{upstream_->name(), authority, routed.public_target};
        changes_stored_ = make_cache_key(parts, stored_key_);
        return;
    }
    if (!has_cache) return;
    cached_ = std::make_unique<CacheCall>(proxy_.cache_);
    CacheCall& call = *cached_;
    call.now = proxy_.loop_.now();
    call.asked = parse_request_cache_control(head.headers);
    const bool is_read = head.method == "GET" || head.method == "HEAD";
    call.is_bypass = !is_read || has_body_ || offers_upgrade_ || call.asked.no_store ||
                     head.headers.contains("if-match") ||
                     head.headers.contains("if-unmodified-since");
    const std::string_view proto =
        info.is_trusted ? head.headers.get(FieldId::kXForwardedProto).value_or("") : "";
    const CacheOriginParts origin{
        !proto.empty() ? proto : std::string_view(info.is_encrypted ? "https" : "http"),
        info.is_trusted ? head.headers.get(FieldId::kXForwardedHost).value_or("") : "",
        routed.target, routed.route.prefix, options_->cache->identity};
    if (!make_cache_key({upstream_->name(), authority, routed.public_target}, call.key) ||
        !make_cache_origin(origin, call.origin)) {
        call.is_bypass = true;
    }
    if (call.is_bypass) return;
    call.service = upstream_->name();
    call.host = routed.host;
    call.path = std::string(split_target(routed.public_target).path);
    call.target = routed.target;
    call.public_target = routed.public_target;
    call.prefix = routed.route.prefix;
    call.is_forced = routed.is_fetch_forced;
    const bool has_range = head.headers.contains("range");
    if (has_range) {
        // A part is cut from a whole that is there; otherwise the service is asked as it is.
        call.found = call.cache->find(call.key, call.origin, head.headers);
        call.is_ready = call.found != nullptr && call.found->head.status == 200 &&
                        may_use(*call.found, call.asked, now_seconds()) == Usable::kYes;
        if (!call.is_ready) call.found = nullptr;
        call.is_bypass = !call.is_ready;
        return;
    }
    call.has_conditions =
        head.headers.contains("if-none-match") || head.headers.contains("if-modified-since");
    call.fetch = ResponseCache::fetch_name(call.key, call.origin);
    if (info.added != nullptr) call.added_to_request = *info.added;
    info.for_store = true;
}

bool Exchange::is_swallowing() const {
    return cached_ != nullptr && cached_->swallow != CacheCall::Swallow::kNothing;
}

int64_t Exchange::now_seconds() const { return unix_seconds(proxy_.loop_.wall()); }

// Begins what was planned, once the client may have it.
void Exchange::look_up() {
    CacheCall& call = *cached_;
    const RequestHead& head = client_->request_head();
    call.now = proxy_.loop_.now();
    if (call.is_bypass) {
        if (call.asked.only_if_cached) return fail(504, "has nothing stored that would do");
        cache_result_ = CacheResult::kBypass;
        say_cache_status(head.method == "GET" || head.method == "HEAD" ? "fwd=bypass"
                                                                       : "fwd=method");
        return attempt();
    }
    if (call.is_ready) return serve_stored(CacheResult::kHit);
    call.found = call.cache->find(call.key, call.origin, head.headers);
    if (call.found != nullptr && !call.is_forced) {
        const Usable usable = may_use(*call.found, call.asked, now_seconds());
        if (usable == Usable::kWhileFetched) {
            call.wants_newer = true;
            return serve_stored(CacheResult::kStale);
        }
        if (usable == Usable::kYes) {
            const bool is_fresh = call.found->freshness.ttl(now_seconds()) > 0;
            return serve_stored(is_fresh ? CacheResult::kHit : CacheResult::kStale);
        }
    }
    if (call.asked.only_if_cached) {
        call.found = nullptr;
        return fail(504, "has nothing stored that would do");
    }
    fetch_or_wait();
}

void Exchange::fetch_or_wait() {
    CacheCall& call = *cached_;
    cache_result_ = CacheResult::kMiss;
    if (is_head_) {
        // Its answer has no body to keep.
        call.found = nullptr;
        say_cache_status("fwd=uri-miss");
        return attempt();
    }
    // Who wants it validated now is not served by what was asked before.
    const bool may_wait = !call.asked.no_cache && !call.is_forced && call.wait_until == MonoTime();
    const bool may_wait_on = call.wait_until > call.now;
    FetchWaiterPtr waiter;
    if (may_wait || may_wait_on) {
        waiter = std::make_shared<FetchWaiter>(proxy_.loop_);
        waiter->on_end = [this](FetchEnd end) { on_fetched(end); };
    }
    switch (call.cache->join(call.fetch, waiter, call.now)) {
        case ResponseCache::Join::kLead: {
            call.is_leading = true;
            call.requested_at = now_seconds();
            call.head_bytes = head_.size();
            if (call.found != nullptr && has_validator(call.found->head)) {
                head_.resize(head_.size() - 2);
                append_validators(call.found->head, head_);
                head_ += "\r\n";
            }
            return attempt();
        }
        case ResponseCache::Join::kWait:
            call.waiter = std::move(waiter);
            if (call.wait_until == MonoTime()) call.wait_until = call.now + kFetchWait;
            state_ = State::kFetching;
            timer_.start(call.wait_until - call.now);
            return;
        case ResponseCache::Join::kPass:
            if (call.is_forced) return fail(503, "is asked for it already");
            say_cache_status("fwd=uri-miss");
            return attempt();
    }
}

// Another has fetched what this one waits for, or not.
void Exchange::on_fetched(FetchEnd end) {
    CacheCall& call = *cached_;
    call.waiter = nullptr;
    call.now = proxy_.loop_.now();
    was_collapsed_ = true;
    if (end == FetchEnd::kAbandoned && call.wait_until > call.now) return look_up();
    if (end == FetchEnd::kStored) {
        call.found = call.cache->find(call.key, call.origin, client_->request_head().headers);
        // What has just come is for those who waited for it, also where it must be validated by
        // all who come later (RFC 9111 §4: one request upstream for several).
        if (call.found != nullptr) return serve_stored(CacheResult::kHit);
    }
    ask_alone();
}

void Exchange::ask_alone() {
    say_cache_status("fwd=uri-miss");
    attempt();
}

void Exchange::on_fetch_wait_over() {
    cached_->stop_waiting();
    ask_alone();
}

void Exchange::say_cache_status(std::string_view what) {
    answer_fields_.add("Cache-Status", fmt::format("{}; {}{}", kStatusName, what,
                                                   was_collapsed_ ? "; collapsed" : ""));
}

// Answers from call.found, as soon as the request is at its end.
void Exchange::serve_stored(CacheResult result) {
    CacheCall& call = *cached_;
    cache_result_ = result;
    call.is_served = true;
    if (std::exchange(call.wants_newer, false) && !call.cache->is_fetched(call.fetch)) {
        DetachedRequest::fetch(proxy_, *client_, *upstream_, options_, call);
    }
    const StoredAnswer& stored = *call.found;
    // What the exchange has said of an attempt that failed does not hold.
    answer_fields_.remove("Cache-Status");
    const int64_t age = stored.freshness.age(now_seconds());
    answer_fields_.add("Age", fmt::format("{}", age));
    if (result == CacheResult::kRevalidated) {
        say_cache_status("fwd=stale; fwd-status=304; stored");
    } else {
        say_cache_status(fmt::format("hit; ttl={}", stored.freshness.lifetime - age));
    }
    const Selection part =
        select(client_->request_head().headers, stored.head, stored.body->size());
    responder_ = CachedBody::make(stored.body, part.begin, is_head_ ? part.begin : part.end);
    responder_->begin(*this, ResponderRequest{});
    state_ = State::kOpen;
    if (request_sent_) send_stored();
}

void Exchange::send_stored() {
    const StoredAnswerPtr stored = std::exchange(cached_->found, nullptr);
    cached_->is_served = false;
    const Selection part =
        select(client_->request_head().headers, stored->head, stored->body->size());
    const ResponseHead head = selected_head(stored->head, part, stored->body->size());
    Framing framing;
    framing.body = status_has_no_body(head.status) ? BodyKind::kNone : BodyKind::kLength;
    framing.content_length = part.end - part.begin;
    pass_answer_head(head, framing);
    responder_->resume();  // to the end, or until the client is behind
}

// The answer to a request that changes things: what is stored is not so any more (§4.4).
void Exchange::invalidate_stored(const ResponseHead& head) {
    if (head.status < 200 || head.status >= 400) return;
    ResponseCache& cache = *proxy_.cache_;
    cache.invalidate(stored_key_);
    const auto parts = parse_cache_key(stored_key_);
    for (const std::string_view name : {"location", "content-location"}) {
        std::string_view place = head.headers.get(name).value_or("");
        // Of another host nothing is believed.
        for (const std::string_view scheme : {"http://", "https://"}) {
            if (!place.starts_with(scheme)) continue;
            place.remove_prefix(scheme.size());
            const size_t end = std::min(place.find('/'), place.size());
            place = ascii_iequals(place.substr(0, end), parts->authority) ? place.substr(end) : "";
            break;
        }
        if (!place.starts_with('/')) continue;
        place = place.substr(0, place.find('#'));
        const TargetParts target = split_target(place);
        auto path = normalize_path(target.path);
        if (!path) continue;
        if (target.has_query) path->append("?").append(target.query);
        std::string key;
        if (make_cache_key({parts->service, parts->authority, *path}, key)) cache.invalidate(key);
    }
}

AnswerFacts Exchange::answer_facts(const ResponseHead& head, const Framing& framing) const {
    return AnswerFacts{client_->request_head().headers,
                       &cached_->added_to_request,
                       head,
                       framing,
                       cached_->requested_at,
                       now_seconds()};
}

// What an answer is to the cache. False: it is not for the client, who gets a stored one at the
// end of this.
bool Exchange::take_for_cache(const ResponseHead& head, const Framing& framing) {
    CacheCall& call = *cached_;
    const bool is_hidden = call.found != nullptr && is_server_error(head.status) &&
                           may_use_after_error(*call.found, call.asked, now_seconds());
    if (is_hidden) {
        call.now = proxy_.loop_.now();
        call.swallow = CacheCall::Swallow::kError;
        timer_.start(kSwallowTime);
        return false;
    }
    if (!call.is_leading) return true;
    const CacheRules& rules = *options_->cache;
    call.now = proxy_.loop_.now();
    if (call.found != nullptr) {
        if (head.status == 304) {
            call.swallow = CacheCall::Swallow::kNotModified;
            auto newer = refresh(*call.found, answer_facts(head, framing), rules);
            call.found = newer;  // null: of another answer, and asked for again without conditions
            if (newer != nullptr) {
                if (may_store(answer_facts(newer->head, Framing()), rules)) {
                    call.cache->put(newer, call.fetch);
                } else {
                    call.cache->invalidate(call.key);
                }
                call.end_fetch(FetchEnd::kStored);
            }
            timer_.start(kSwallowTime);
            return false;
        }
    }
    const bool was_stale = std::exchange(call.found, nullptr) != nullptr;
    const auto freshness = may_store(answer_facts(head, framing), rules);
    const uint64_t expected = framing.body == BodyKind::kLength ? framing.content_length : 0;
    call.is_filling = freshness.has_value() && call.cache->reserve(expected);
    const std::string_view why = was_stale ? "fwd=stale" : "fwd=uri-miss";
    if (!call.is_filling) {
        // What was stored is not the answer any more, as long as this one is one (§4.3.3), and not
        // only this client's.
        const bool is_for_all = !is_personal(client_->request_head().headers);
        if (was_stale && is_for_all && !is_server_error(head.status))
            call.cache->invalidate(call.key);
        call.end_fetch(is_server_error(head.status) ? FetchEnd::kFailed : FetchEnd::kPassed);
        say_cache_status(why);
        return true;
    }
    call.reserved = expected;
    call.body.reserve(expected);
    call.made = std::make_shared<StoredAnswer>();
    StoredAnswer& made = *call.made;
    made.key = call.key;
    made.origin = call.origin;
    made.service = call.service;
    made.host = call.host;
    made.path = call.path;
    made.freshness = *freshness;
    copy_for_store(head, made.head);
    const Headers& request = client_->request_head().headers;
    auto names = vary_names(head.headers);
    for (std::string& name : *names) {
        std::string value = vary_value(request, name);
        made.vary.emplace_back(std::move(name), std::move(value));
    }
    say_cache_status(fmt::format("{}{}; stored", why,
                                 was_stale ? fmt::format("; fwd-status={}", head.status) : ""));
    call.is_body_kept_back = call.has_conditions && is_not_modified(request, head);
    return true;
}

void Exchange::gather_for_cache(std::string_view bytes) {
    CacheCall& call = *cached_;
    if (!call.is_filling || call.gather(bytes, options_->cache->object_bytes_max)) return;
    call.drop_gathered();
    call.end_fetch(FetchEnd::kPassed);
}

// The answer is whole. True where the client is still to be answered, from what is stored.
bool Exchange::end_for_cache(const Headers& trailers) {
    CacheCall& call = *cached_;
    call.now = proxy_.loop_.now();
    if (call.swallow != CacheCall::Swallow::kNothing) return true;
    if (!call.is_filling) return false;
    if (!trailers.empty()) {
        call.end_fetch(FetchEnd::kPassed);
        return false;
    }
    std::shared_ptr<StoredAnswer> made = std::exchange(call.made, nullptr);
    call.body.shrink_to_fit();
    if (!status_has_no_body(made->head.status)) {
        made->head.headers.add("Content-Length", fmt::format("{}", call.body.size()));
    }
    made->body = std::make_shared<const std::string>(std::move(call.body));
    call.drop_gathered();
    call.cache->put(std::move(made), call.fetch);
    call.end_fetch(FetchEnd::kStored);
    return false;
}

// After what was swallowed, or where the upstream has failed. Takes the place of the responder.
void Exchange::serve_instead(Responder::Outcome outcome) {
    CacheCall& call = *cached_;
    connecting_.reset();
    if (responder_ != nullptr) responder_.release()->give_back(outcome);
    if (endpoint_ != nullptr) upstream_->release(*std::exchange(endpoint_, nullptr));
    const bool was_validated = call.swallow == CacheCall::Swallow::kNotModified;
    call.swallow = CacheCall::Swallow::kNothing;
    if (was_validated && call.found == nullptr) {
        head_.resize(call.head_bytes - 2);
        head_ += "\r\n";
        attempts_ = tried_count_ = 0;
        answer_heard_ = false;
        return attempt();
    }
    if (!was_validated) call.end_fetch(FetchEnd::kFailed);
    serve_stored(was_validated ? CacheResult::kRevalidated : CacheResult::kStale);
}

// Whether a failure is hidden from the client by an older answer (RFC 5861 §4).
bool Exchange::may_serve_after_failure(int status) const {
    if (cached_ == nullptr || response_begun_ || cached_->found == nullptr) return false;
    if (cached_->swallow == CacheCall::Swallow::kNotModified) return true;
    if (status < 500 || state_ == State::kChecking) return false;
    return may_use_after_error(*cached_->found, cached_->asked, now_seconds());
}

}  // namespace candela::http
