#pragma once

// One request on its way to an upstream, and the answer on its way back; after an upgrade, the
// relay of raw bytes both ways. Taken from the proxy's pool when a request begins and given back
// when it is over: exchange_done() of the client connection is always the last thing an exchange
// does.

#include <array>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "http/proxy.h"
#include "http/requester.h"
#include "http/route_options.h"
#include "http/trace.h"
#include "loop/timers.h"

namespace candela::http {

class Exchange final {
public:
    explicit Exchange(Proxy& proxy);
    ~Exchange();
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

    // What the client side does. begin() may answer at once, by way of exchange_done().
    void begin(Requester& client, const RouteResult& route, std::string_view target);
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
    void on_client_drained();
    // The client is gone or has sent nonsense; the exchange ends without exchange_done().
    void abort();
    bool has_response() const { return response_begun_; }
    void relay_from_client(std::string_view bytes);
    void on_client_end();  // of a relay

    // What the upstream side does.
    void on_upstream_data(std::string_view bytes);
    void on_upstream_end();
    void on_upstream_error(const Error& error);
    void on_upstream_drained();
    void on_woken();  // taken off the hold queue

private:
    friend class Upstream;
    enum class State : uint8_t { kFree, kHeld, kPaused, kConnecting, kOpen, kRelay };
    enum class Retry : uint8_t { kNo, kAtOnce, kElsewhere };
    static constexpr size_t kAttemptsMax = 3;
    static constexpr int kInterimMax = 32;

    void take_options(const RouteOptionsPtr& options, ForwardedInfo& info);
    void attempt();
    void hold();
    void on_connected(Result<StreamPtr> result);
    void open(UpstreamConnectionPtr connection);
    Retry may_retry();
    // Elsewhere where there is another endpoint; on the same one after a moment.
    void retry_elsewhere();
    void upstream_failed(std::string_view what);
    void fail(int status, std::string_view cause);
    void on_timer();

    // Each returns false when the exchange is over and nothing of it may be touched.
    bool on_response_head();
    bool on_response_complete(std::string_view rest);
    void on_response_body(std::string_view bytes);
    void flush_client();
    // True where the upstream has taken something of the request since the last call.
    bool has_upstream_taken_more();
    void start_relay(std::string_view rest);
    void end_relay_if_drained();
    void finish(bool reusable);
    // Lets go of the connection, the endpoint and the upstream.
    void let_go(bool reusable);
    void reset();
    Duration upstream_idle_max() const;

    Proxy& proxy_;
    State state_ = State::kFree;
    Requester* client_ = nullptr;
    Upstream* upstream_ = nullptr;
    Endpoint* endpoint_ = nullptr;
    UpstreamConnectionPtr connection_;
    std::unique_ptr<ConnectAttempt> connecting_;
    std::list<Exchange*>::iterator held_at_;
    Timer timer_;

    RouteOptionsPtr options_;  // of the route; null: none
    uint64_t body_bytes_max_ = 0;
    Duration response_timeout_{};
    Headers answer_fields_;  // that are added to the answer
    std::string head_;       // as it goes upstream; kept for retries
    TraceParent trace_{};
    std::array<Load*, kAttemptsMax> tried_{};
    size_t tried_count_ = 0;
    size_t attempts_ = 0;
    MonoTime began_at_{};
    MonoTime hold_until_{};
    int interim_count_ = 0;
    int status_ = 0;
    uint64_t received_bytes_ = 0;
    uint64_t sent_bytes_ = 0;
    uint64_t written_upstream_ = 0;  // on this attempt
    uint64_t taken_upstream_ = 0;    // of it, at the last look
    bool is_idempotent_ = false;
    bool is_head_ = false;
    bool is_chunked_ = false;  // the request's body
    bool offers_upgrade_ = false;
    bool was_held_ = false;
    bool use_fresh_ = false;       // a pooled connection turned out closed
    bool body_sent_ = false;       // any of it
    bool request_sent_ = false;    // all of it
    bool answer_heard_ = false;    // any byte of it
    bool response_begun_ = false;  // the final head went to the client
    bool upstream_paused_ = false;
    bool upstream_ended_ = false;  // relay: its direction
    bool client_ended_ = false;    // relay: its direction
};

}  // namespace candela::http
