#include "http/exchange.h"

#include <algorithm>

#include "base/text.h"
#include "http/cache_call.h"
#include "http/detached_request.h"

namespace candela::http {
namespace {

// Before the only endpoint is asked again. A process that was killed still takes connections for a
// moment; asked at once, it would use up all attempts.
constexpr Duration kRetryPause = 25ms;
constexpr int kRetryPauseFactor = 4;

// For a password to be checked, however busy the pool is.
constexpr Duration kCheckTimeout = 30s;

constexpr size_t kKeptHeadBytes = 8192;  // of head_'s memory, for the next exchange

}  // namespace

Exchange::Exchange(Proxy& proxy)
    : proxy_(proxy), timer_(proxy.loop_.timers(), [this] { on_timer(); }) {}

Exchange::~Exchange() {
    if (checking_ != nullptr) *checking_ = nullptr;
}

void Exchange::begin(Requester& client, const RoutedRequest& routed) {
    const RouteResult& route = routed.route;
    const RequestHead& head = client.request_head();
    const Framing& framing = client.request_framing();
    client_ = &client;
    upstream_ = route.upstream;
    ++upstream_->users_;
    ForwardedInfo info;
    const ClientInfo client_info = client.client_info();
    info.peer_ip = client_info.ip;
    info.is_trusted = client_info.is_trusted;
    info.is_encrypted = client_info.is_encrypted;
    info.prefix = route.prefix;
    info.added = routed.request_fields;
    body_bytes_max_ = routed.body_bytes_max;
    response_timeout_ = proxy_.options_.response_timeout;
    if (route.options != nullptr) take_options(route.options, info);
    if (routed.mirror_edits != nullptr) info.edits = routed.mirror_edits;
    if (route.mirror != nullptr) mirror_ = DetachedRequest::mirror(proxy_, client, routed);
    upstream_->budget_.on_request();
    bump(proxy_.counters_.requests_in_flight);
    began_at_ = proxy_.precise_now();
    measure_ = route.measure;
    is_idempotent_ = is_idempotent(head.method);
    is_head_ = std::string_view(head.method) == "HEAD";
    has_body_ = framing.body != BodyKind::kNone;
    is_chunked_ = framing.body == BodyKind::kChunked;
    offers_upgrade_ = framing.upgrade;
    const std::string_view carried = head.headers.get(FieldId::kTraceparent).value_or("");
    if (is_traceparent(carried)) {
        std::copy_n(carried.data(), trace_.size(), trace_.data());
    } else {
        trace_ = make_traceparent(proxy_.loop_.random());
        info.traceparent = std::string_view(trace_.data(), trace_.size());
    }
    plan_cache(routed, info);
    head_.clear();
    append_upstream_request(head, framing, routed.target, info, head_);
    if (routed.unchecked) {
        check_password(*routed.unchecked);
    } else {
        go_on();
    }
}

void Exchange::go_on() {
    if (cached_ != nullptr) {
        look_up();
    } else {
        attempt();
    }
}

void Exchange::check_password(const BasicCredentials& credentials) {
    if (!options_->basic_auth->begin_check()) {
        fail(503, "has too many passwords to check");
        return;
    }
    state_ = State::kChecking;
    timer_.start(kCheckTimeout);
    checking_ = std::make_shared<Exchange*>(this);
    struct Check {
        RouteOptionsPtr options;
        BasicCredentials credentials;
        bool is_right = false;
    };
    auto check = std::make_shared<Check>(Check{options_, credentials});
    proxy_.loop_.offload(
        [check] { check->is_right = check->options->basic_auth->verify(check->credentials); },
        [check, asker = checking_] {
            check->options->basic_auth->end_check();
            if (*asker != nullptr) (*asker)->on_password_checked(check->is_right);
        });
}

void Exchange::on_password_checked(bool is_right) {
    checking_.reset();
    if (is_right) {
        go_on();
        return;
    }
    answer_fields_.add("WWW-Authenticate", options_->basic_auth->challenge());
    fail(401, "does not know this user name with this password");
}

void Exchange::take_options(const RouteOptionsPtr& options, ForwardedInfo& info) {
    options_ = options;
    info.edits = &options->request_fields;
    if (options->response_timeout != Duration(0)) response_timeout_ = options->response_timeout;
    if (options->cors) {
        options->cors->append_answer_fields(client_->request_head().headers, answer_fields_);
    }
}

void Exchange::open(ResponderPtr responder) {
    state_ = State::kOpen;
    responder_ = std::move(responder);
    answer_heard_ = false;
    written_upstream_ = taken_upstream_ = 0;
    responder_->begin(*this,
                      ResponderRequest{head_, is_head_, has_body_, is_chunked_, offers_upgrade_});
    if (!replay_.empty()) responder_->send_body(replay_);
    if (request_sent_) responder_->send_end(client_->request_trailers());
    wait_for_answer();
    client_->on_upstream_ready();
}

void Exchange::send_body(std::string_view bytes) {
    body_sent_ = true;
    received_bytes_ += bytes.size();
    if (mirror_ != nullptr && !mirror_->add_body(bytes)) mirror_.reset();
    responder_->send_body(bytes);
}

void Exchange::end_body() {
    request_sent_ = true;
    if (mirror_ != nullptr) proxy_.add_detached(std::move(mirror_));
    // A request that was answered while it was held back has none.
    if (!has_body_) {
        if (cached_ != nullptr && cached_->is_served) send_stored();
        return;
    }
    if (is_chunked_) body_sent_ = true;
    if (endpoint_ != nullptr && endpoint_->counts() != nullptr) asked_at_ = proxy_.precise_now();
    responder_->send_end(client_->request_trailers());
}

void Exchange::flush_upstream() {
    if (state_ != State::kOpen) return;
    const size_t flushed = responder_->flush();
    if (flushed == 0) return;
    written_upstream_ += flushed;
    if (!response_begun_ || is_dialogue()) wait_for_answer();
}

// A request that takes nothing from others may pause as long as its answer may.
void Exchange::wait_for_answer() {
    if (upstream_paused_ || is_swallowing()) return;  // it is not the upstream that is waited for
    may_pause_ = response_begun_ || (!request_sent_ && responder_->is_multiplexed() &&
                                     responder_->queued_bytes() == 0);
    timer_.start(may_pause_ ? proxy_.options_.stream_timeout : response_timeout_);
}

bool Exchange::has_upstream_taken_more() {
    const uint64_t taken = written_upstream_ - responder_->queued_bytes();
    return taken != std::exchange(taken_upstream_, taken);
}

bool Exchange::is_upstream_full() const {
    return responder_ != nullptr && responder_->queued_bytes() > proxy_.options_.buffer_bytes_max;
}

void Exchange::on_upstream_drained() {
    if (state_ != State::kRelay) {
        client_->on_upstream_ready();
    } else if (client_ended_ && upstream_ended_) {
        end_relay_if_drained();
    } else {
        client_->resume_reading();
    }
}

void Exchange::on_answer_heard() {
    answer_heard_ = true;
    wait_for_answer();
}

bool Exchange::on_interim(const ResponseHead& head) {
    if (++interim_count_ > kInterimMax) {
        on_failed({"too many interim responses"});
        return false;
    }
    client_->send_interim(head);
    return true;
}

void Exchange::on_answer_head(const ResponseHead& head, const Framing& framing) {
    constexpr int kServerError = 500;
    count_answer(head.status >= kServerError);
    if (changes_stored_) invalidate_stored(head);
    if (cached_ != nullptr && !take_for_cache(head, framing)) return;
    if (cached_ != nullptr && cached_->is_body_kept_back) {
        pass_answer_head(selected_head(head, Selection{304, 0, 0}, 0), Framing());
    } else {
        pass_answer_head(head, framing);
    }
}

void Exchange::pass_answer_head(const ResponseHead& head, const Framing& framing) {
    response_begun_ = true;
    status_ = head.status;
    timer_.start(proxy_.options_.stream_timeout);
    AnswerEdits edits{options_.get(), &answer_fields_};
    if (options_ == nullptr || !options_->compress) {
        client_->send_head(head, framing, edits);
        return;
    }
    const CodedAnswer coded =
        code_answer(client_->request_head(), head, framing, proxy_.may_encode(), answer_fields_);
    encoder_ = make_encoder(coded.coding);
    edits.is_coded = encoder_ != nullptr;
    if (encoder_ != nullptr) ++proxy_.encoders_;
    client_->send_head(head, coded.framing, edits);
}

void Exchange::on_answer_body(std::string_view bytes) {
    if (cached_ != nullptr) {
        if (is_swallowing()) return;
        gather_for_cache(bytes);
        if (cached_->is_body_kept_back) return;
    }
    if (encoder_ != nullptr) {
        encoder_->push(bytes, coded_);
        return;
    }
    client_->send_body(bytes);
    sent_bytes_ += bytes.size();
}

// Hands on what the encoder has made; it stays where it is until the client is flushed.
void Exchange::send_coded() {
    if (coded_.empty()) return;
    client_->send_body(coded_);
    sent_bytes_ += coded_.size();
}

void Exchange::on_answer_end(const Headers& trailers, bool reusable) {
    if (cached_ != nullptr && end_for_cache(trailers)) {
        Balancer::on_success(*endpoint_);
        serve_instead(reusable ? Responder::Outcome::kReusable : Responder::Outcome::kBroken);
        return;
    }
    if (encoder_ != nullptr) {
        encoder_->finish(coded_);
        send_coded();
    }
    client_->send_end(trailers);
    client_->flush();
    if (endpoint_ != nullptr) Balancer::on_success(*endpoint_);
    Requester& client = *client_;
    let_go(reusable && request_sent_ ? Responder::Outcome::kReusable : Responder::Outcome::kBroken);
    client.exchange_done();
}

void Exchange::flush_client() {
    if (encoder_ != nullptr) {
        // Whatever the service has sent is for the client now: an event stream must not wait here.
        encoder_->flush(coded_);
        send_coded();
    }
    client_->flush();
    coded_.clear();
    if (upstream_paused_ || client_->queued_bytes() <= client_->queued_bytes_max()) return;
    upstream_paused_ = true;
    responder_->pause();
    client_->has_taken_more();
    timer_.start(proxy_.options_.send_timeout);
}

void Exchange::on_client_drained() {
    if (state_ == State::kRelay && client_ended_ && upstream_ended_) {
        end_relay_if_drained();
        return;
    }
    if (!upstream_paused_) return;
    upstream_paused_ = false;
    timer_.start(state_ == State::kRelay ? proxy_.options_.relay_timeout
                                         : proxy_.options_.stream_timeout);
    responder_->resume();
}

void Exchange::let_go(Responder::Outcome outcome) {
    if (state_ == State::kHeld) {
        upstream_->unhold(*this);
        bump(proxy_.counters_.requests_held, static_cast<uint64_t>(-1));
    }
    connecting_.reset();
    // The timer runs on: the next request moves it, which is cheaper, and in kFree it does nothing.
    const RequestHead& head = client_->request_head();
    const std::string_view endpoint = endpoint_ != nullptr ? std::string_view(endpoint_->id()) : "";
    const std::string_view trace(trace_.data(), trace_.size());
    if (!client_->is_detached()) {
        proxy_.router_.on_done(ProxyRecord{
            head, upstream_, endpoint, status_, proxy_.precise_now() - began_at_, received_bytes_,
            sent_bytes_, client_->client_info(), trace_id_of(trace), cache_result_, measure_});
    }
    if (responder_ != nullptr) responder_.release()->give_back(outcome);
    if (endpoint_ != nullptr) upstream_->release(*endpoint_);
    if (options_ != nullptr) std::exchange(options_, nullptr)->leave();
    --upstream_->users_;
    bump(proxy_.counters_.requests_in_flight, static_cast<uint64_t>(-1));
    reset();
    proxy_.recycle(*this);
}

void Exchange::reset() {
    state_ = State::kFree;
    if (checking_ != nullptr) *std::exchange(checking_, nullptr) = nullptr;
    mirror_.reset();
    cached_.reset();
    cache_result_ = CacheResult::kNone;
    changes_stored_ = was_collapsed_ = false;
    client_ = nullptr;
    upstream_ = nullptr;
    endpoint_ = nullptr;
    tried_count_ = 0;
    attempts_ = 0;
    interim_count_ = 0;
    status_ = 0;
    received_bytes_ = 0;
    sent_bytes_ = 0;
    was_held_ = use_fresh_ = body_sent_ = request_sent_ = answer_heard_ = false;
    response_begun_ = upstream_paused_ = upstream_ended_ = client_ended_ = false;
    answer_fields_.clear();
    if (encoder_ != nullptr) {
        encoder_.reset();
        coded_ = std::string();
        --proxy_.encoders_;
    }
    // One client with huge heads must not leave its size to everyone after it.
    if (head_.capacity() > kKeptHeadBytes) head_ = std::string();
    replay_.clear();
    if (replay_.capacity() > kKeptHeadBytes) replay_ = std::string();
}

void Exchange::abort() {
    // It took at least as long as that: who is so slow that clients go away is not thought fast.
    if (state_ == State::kOpen && request_sent_) count_answer(false);
    let_go(Responder::Outcome::kBroken);
}

void Exchange::count_answer(bool is_failure) {
    if (is_counted_ || endpoint_ == nullptr || endpoint_->counts() == nullptr) return;
    is_counted_ = true;
    endpoint_->counts()->add(proxy_.precise_now() - asked_at_, is_failure);
}

void Exchange::count_failure() {
    if (is_counted_ && endpoint_ != nullptr && endpoint_->counts() != nullptr) {
        endpoint_->counts()->add_late_failure();
    } else {
        count_answer(true);
    }
}

Exchange::Retry Exchange::may_retry(ResponderFailure::Kind kind) {
    if (answer_heard_ || attempts_ >= kAttemptsMax) return Retry::kNo;
    // What the peer says it has not processed can be repeated, if all of it is still here.
    const bool is_processed = kind == ResponderFailure::Kind::kBroken;
    const bool is_at_hand = !body_sent_ || (!is_processed && responder_->has_whole_body());
    if (!is_at_hand || (is_processed && !is_idempotent_)) return Retry::kNo;
    // A pooled connection that turns out closed says nothing about the endpoint, and costs no
    // budget.
    if (kind == ResponderFailure::Kind::kGoingAway ||
        (is_processed && responder_->was_used() && !use_fresh_)) {
        use_fresh_ = true;
        return Retry::kAtOnce;
    }
    Balancer::on_failure(*endpoint_, EndpointFailure::kResponse, proxy_.loop_.now());
    return upstream_->budget_.take() ? Retry::kElsewhere : Retry::kNo;
}

void Exchange::retry_elsewhere() {
    const std::span<Load* const> tried(tried_.data(), tried_count_);
    if (upstream_->balancer_.has_other(proxy_.loop_.now(), tried)) return attempt();
    Duration pause = kRetryPause;
    for (size_t i = 1; i < attempts_; ++i) pause *= kRetryPauseFactor;
    state_ = State::kPaused;
    timer_.start(pause);
}

void Exchange::on_failed(const ResponderFailure& failure) {
    if (state_ == State::kRelay) {
        client_->close();
        return;
    }
    responder_->discard();
    proxy_.log_.debug(
        "upstream_failed",
        {{"service", upstream_->name()}, {"endpoint", endpoint_->id()}, {"error", failure.what}});
    const Retry retry = may_retry(failure.kind);
    if (retry != Retry::kAtOnce) count_failure();
    if (retry == Retry::kNo) return fail(502, failure.what, failure.h2_error);
    bump(upstream_->counters_.retries);
    // All that there is of the request is in head_, and here.
    if (body_sent_) replay_ = responder_->take_whole_body();
    responder_.reset();
    upstream_->release(*std::exchange(endpoint_, nullptr));
    if (retry == Retry::kAtOnce) return attempt();
    retry_elsewhere();
}

void Exchange::fail(int status, std::string_view cause, uint32_t h2_error) {
    Requester& client = *client_;
    client.discard();
    if (response_begun_) {
        // Part of the answer is out: only a cut shows that it is not whole.
        client.cut(h2_error);
        return;
    }
    const auto outcome =
        status == 504 ? Responder::Outcome::kTimedOut : Responder::Outcome::kBroken;
    if (may_serve_after_failure(status)) return serve_instead(outcome);
    if (cached_ != nullptr) cached_->end_fetch(FetchEnd::kFailed);
    status_ = status;
    const std::string text = fmt::format("{} {}", upstream_->name(), cause);
    const Headers fields = std::exchange(answer_fields_, Headers());
    const std::shared_ptr<const ErrorPages> pages = options_ != nullptr ? options_->pages : nullptr;
    let_go(outcome);
    client.answer_for_exchange(status, text, fields, pages.get());
}

void Exchange::on_timer() {
    switch (state_) {
        case State::kFree: return;
        case State::kHeld:
            upstream_->unhold(*this);
            on_woken();
            return;
        case State::kPaused: attempt(); return;
        case State::kFetching: on_fetch_wait_over(); return;
        case State::kChecking: fail(503, "could not check the password in time"); return;
        case State::kConnecting:
            connecting_.reset();
            on_connected(candela::fail(Code::kTimeout, "no connection within {}",
                                       format_duration(proxy_.options_.connect_timeout)));
            return;
        case State::kOpen:
        case State::kRelay: break;
    }
    if (upstream_paused_) {
        // It is the client who is slow; that is fine as long as it takes something.
        if (client_->has_taken_more()) {
            timer_.start(proxy_.options_.send_timeout);
        } else {
            client_->close();
        }
        return;
    }
    if (state_ == State::kRelay) {
        client_->close();
        return;
    }
    if (is_swallowing()) return serve_instead(Responder::Outcome::kBroken);
    on_silence();
}

void Exchange::on_silence() {
    const bool is_stuck = responder_->queued_bytes() > 0 && !has_upstream_taken_more();
    if (!request_sent_ && !response_begun_ && !is_stuck) {
        if (may_pause_) {
            fail(408, "was sent nothing for too long");
            return;
        }
        // Still uploading, at the pace that the client is held to or of its own.
        wait_for_answer();
        return;
    }
    Balancer::on_failure(*endpoint_, EndpointFailure::kResponse, proxy_.loop_.now());
    count_failure();
    fail(504,
         response_begun_ ? "fell silent in the middle of its answer" : "did not answer in time");
}

}  // namespace candela::http
