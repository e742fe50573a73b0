#pragma once

// A request that no client waits for: the fetch of a newer answer for the cache, or the copy of a
// request for a mirror. Its answer goes nowhere but where the exchange puts it. Owned by the Proxy,
// which keeps few of them.

#include <string>

#include "http/proxy.h"
#include "http/requester.h"
#include "loop/timers.h"

namespace candela::http {

struct CacheCall;

class DetachedRequest final : public Requester {
public:
    static constexpr size_t kRequestsMax = 256;  // of one proxy
    static constexpr Duration kTimeMax = 2min;   // of one
    static constexpr Duration kMirrorTimeMax = 30s;

    // Asks again, soon, for what the call was answered with. Where too many are on their way, the
    // next request does it.
    static void fetch(Proxy& proxy, const Requester& client, Upstream& upstream,
                      const RouteOptionsPtr& options, const CacheCall& call);

    // A copy for the mirror, to which the body is given piece by piece; it begins with its end.
    // Null, and counted, where too many are on their way or the body is said to be too large.
    static std::unique_ptr<DetachedRequest> mirror(Proxy& proxy, const Requester& client,
                                                   const RoutedRequest& routed);
    // False: the body has become too large.
    bool add_body(std::string_view bytes);

    DetachedRequest(Proxy& proxy, const Requester& client, Upstream& upstream,
                    RouteOptionsPtr options);
    ~DetachedRequest();

    void start();
    bool is_begun() const { return is_begun_; }
    bool is_done() const { return is_done_; }

    bool is_detached() const override { return true; }
    const Stream* connection() const override { return nullptr; }
    ClientInfo client_info() const override;
    ClientCertificates* client_certificates() override { return nullptr; }  // it has its route
    const RequestHead& request_head() const override { return head_; }
    const Framing& request_framing() const override { return framing_; }
    const Headers& request_trailers() const override { return kNoHeaders; }
    void send_interim(const ResponseHead&) override {}
    void send_head(const ResponseHead& head, const Framing&, const AnswerEdits&) override {
        status_ = head.status;
    }
    void send_body(std::string_view) override {}
    void send_end(const Headers&) override {}
    void flush() override {}
    void discard() override {}
    size_t queued_bytes() const override { return 0; }
    size_t queued_bytes_max() const override { return SIZE_MAX; }
    bool has_taken_more() override { return true; }
    void on_upstream_ready() override { feed(); }
    void exchange_done() override { finish(); }
    void answer_for_exchange(int status, std::string_view, const Headers&,
                             const ErrorPages*) override {
        status_ = status;
        finish();
    }
    void close() override;
    void start_relay() override;
    void relay_to_client(std::string_view) override;
    void end_relay() override;
    void pause_reading() override;
    void resume_reading() override;

private:
    void feed();
    void finish();

    Proxy& proxy_;
    Upstream& upstream_;
    RouteOptionsPtr options_;
    RequestHead head_;
    Framing framing_;
    ClientInfo client_;
    std::string ip_;
    std::string host_, target_, public_target_, prefix_;
    Headers added_;
    std::string body_;
    uint64_t body_bytes_max_ = 0;
    int status_ = 0;  // of its answer; 0: none came
    Exchange* exchange_ = nullptr;
    Timer deadline_;
    bool is_mirror_ = false;
    bool is_body_sent_ = false;
    bool is_begun_ = false;
    bool is_end_told_ = false;
    bool is_done_ = false;
};

}  // namespace candela::http
