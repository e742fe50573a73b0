#pragma once

// One request on its way from a Requester to a Responder, and the answer on its way back; after an
// upgrade, the relay of raw bytes both ways. Taken from the proxy's pool when a request begins and
// given back when it is over: exchange_done() of the client connection is always the last thing an
// exchange does.

#include <array>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "http/content_coding.h"
#include "http/proxy.h"
#include "http/requester.h"
#include "http/responder.h"
#include "http/response_cache.h"
#include "http/route_options.h"
#include "http/trace.h"
#include "loop/timers.h"

namespace candela::http {

struct AnswerFacts;
struct CacheCall;
class DetachedRequest;

class Exchange final {
public:
    explicit Exchange(Proxy& proxy);
    ~Exchange();
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

    // What the client side does. begin() may answer at once, by way of exchange_done().
    void begin(Requester& client, const RoutedRequest& routed);
    // The request's body can be sent now. Otherwise the client keeps it unread.
    bool takes_body() const { return state_ == State::kOpen; }
    void send_body(std::string_view bytes);  // borrowed until flush_upstream()
    void end_body();
    uint64_t body_bytes_max() const { return body_bytes_max_; }
    // The body has become larger than is allowed: 413, or a cut where the answer has begun.
    void refuse_body() { fail(413, "takes no body of that size"); }
    bool is_held() const { return state_ == State::kHeld; }
    void flush_upstream();
    bool is_upstream_full() const;
    // The request's body may come as slowly as the client likes: nobody waits for it but the two.
    bool is_dialogue() const { return responder_ != nullptr && responder_->is_multiplexed(); }
    void on_client_drained();
    // The client is gone or has sent nonsense; the exchange ends without exchange_done().
    void abort();
    bool has_response() const { return response_begun_; }
    void relay_from_client(std::string_view bytes);
    void on_client_end();  // of a relay

    // What the responder tells. Some of it is the end of the exchange, which then has given the
    // responder back.
    void on_answer_heard();                     // something has come
    bool on_interim(const ResponseHead& head);  // false: it was the end
    void on_answer_head(const ResponseHead& head, const Framing& framing);
    void on_answer_body(std::string_view bytes);  // borrowed until flush_client()
    // The end. `reusable`: the responder can serve another exchange.
    void on_answer_end(const Headers& trailers, bool reusable);
    void on_failed(const ResponderFailure& failure);
    // Sends on what was gathered, and pauses the responder while the client is behind.
    void flush_client();
    void on_upstream_drained();
    void start_relay(std::string_view rest);
    void on_relay_data(std::string_view bytes);
    void on_relay_end();

    void on_woken();  // taken off the hold queue

private:
    friend class Upstream;
    enum class State : uint8_t {
        kFree,
        kChecking,
        kFetching,  // another does, for the cache
        kHeld,
        kPaused,
        kConnecting,
        kOpen,
        kRelay
    };
    enum class Retry : uint8_t { kNo, kAtOnce, kElsewhere };
    static constexpr size_t kAttemptsMax = 3;
    static constexpr int kInterimMax = 32;
    static constexpr uint32_t kH2InternalError = 2;

    void take_options(const RouteOptionsPtr& options, ForwardedInfo& info);
    // Finds out on a pool thread whether a password is right, and goes on then.
    void check_password(const BasicCredentials& credentials);
    void on_password_checked(bool is_right);
    // Upstream, or to the cache.
    void go_on();
    void attempt();
    void hold();
    void connect();
    void on_connected(Result<StreamPtr> result);
    // What the endpoint is told of the client before the request; empty: nothing.
    std::string announcement() const;
    void connect_http2();
    void on_session(Result<> ready);
    void on_connect_failed(const Error& error);
    void open(ResponderPtr responder);
    Retry may_retry(ResponderFailure::Kind kind);
    // Elsewhere where there is another endpoint; on the same one after a moment.
    void retry_elsewhere();
    void send_coded();
    void fail(int status, std::string_view cause, uint32_t h2_error = kH2InternalError);
    void wait_for_answer();
    void on_timer();
    void on_silence();

    // True where the upstream has taken something of the request since the last call.
    bool has_upstream_taken_more();
    void end_relay_if_drained();
    // The head goes to the client.
    void pass_answer_head(const ResponseHead& head, const Framing& framing);

    // On routes with a cache (exchange_cache.cc).
    void plan_cache(const RoutedRequest& routed, ForwardedInfo& info);
    void look_up();
    void fetch_or_wait();
    void on_fetched(FetchEnd end);
    void on_fetch_wait_over();
    void ask_alone();
    void say_cache_status(std::string_view what);
    void serve_stored(CacheResult result);
    void send_stored();
    void invalidate_stored(const ResponseHead& head);
    AnswerFacts answer_facts(const ResponseHead& head, const Framing& framing) const;
    bool take_for_cache(const ResponseHead& head, const Framing& framing);
    void gather_for_cache(std::string_view bytes);
    bool end_for_cache(const Headers& trailers);
    void serve_instead(Responder::Outcome outcome);
    bool may_serve_after_failure(int status) const;
    bool is_swallowing() const;
    int64_t now_seconds() const;

    // Once for each attempt, where the endpoint's answers are counted.
    void count_answer(bool is_failure);
    void count_failure();

    // Lets go of the responder, the endpoint and the upstream.
    void let_go(Responder::Outcome outcome);
    void reset();

    Proxy& proxy_;
    State state_ = State::kFree;
    Requester* client_ = nullptr;
    Upstream* upstream_ = nullptr;
    void* measure_ = nullptr;  // of the route
    Endpoint* endpoint_ = nullptr;
    ResponderPtr responder_;
    std::unique_ptr<ConnectAttempt> connecting_;
    std::list<Exchange*>::iterator held_at_;
    Timer timer_;

    RouteOptionsPtr options_;                  // of the route; null: none
    std::unique_ptr<DetachedRequest> mirror_;  // a copy that is not whole yet
    std::unique_ptr<CacheCall> cached_;        // null: nothing of it is stored
    std::string stored_key_;                   // of what the request changes
    // While a password is checked: what finds this exchange, until it is over.
    std::shared_ptr<Exchange*> checking_;
    uint64_t body_bytes_max_ = 0;
    Duration response_timeout_{};
    Headers answer_fields_;                    // that are added to the answer
    std::unique_ptr<ContentEncoder> encoder_;  // of the answer's body; null: as it comes
    std::string coded_;                        // by it, and not flushed
    std::string head_;                         // as it goes upstream; kept for retries
    std::string replay_;  // of the body: what a responder had that did not process it
    TraceParent trace_{};
    std::array<Load*, kAttemptsMax> tried_{};
    size_t tried_count_ = 0;
    size_t attempts_ = 0;
    MonoTime began_at_{};
    MonoTime asked_at_{};  // the attempt, or the end of its request; only where it is counted
    MonoTime hold_until_{};
    int interim_count_ = 0;
    int status_ = 0;
    uint64_t received_bytes_ = 0;
    uint64_t sent_bytes_ = 0;
    uint64_t written_upstream_ = 0;  // on this attempt
    uint64_t taken_upstream_ = 0;    // of it, at the last look
    CacheResult cache_result_ = CacheResult::kNone;
    bool changes_stored_ = false;  // it is not safe: what is stored goes
    bool was_collapsed_ = false;   // it waited for the fetch of another
    bool is_idempotent_ = false;
    bool is_head_ = false;
    bool has_body_ = false;    // the request
    bool is_chunked_ = false;  // its body
    bool offers_upgrade_ = false;
    bool was_held_ = false;
    bool use_fresh_ = false;       // a pooled connection turned out closed
    bool body_sent_ = false;       // any of it
    bool request_sent_ = false;    // all of it
    bool answer_heard_ = false;    // any byte of it
    bool is_counted_ = false;      // this attempt
    bool response_begun_ = false;  // the final head went to the client
    bool upstream_paused_ = false;
    bool may_pause_ = false;       // what timer_ stands for is a long silence
    bool upstream_ended_ = false;  // relay: its direction
    bool client_ended_ = false;    // relay: its direction
};

}  // namespace candela::http
