#pragma once

// One HTTP/1.1 client connection of a proxy: reads requests one after the other, hands each to an
// Exchange or answers it itself, and keeps the client to the limits. Owned by the Proxy, which
// frees it in a later step of the loop than the one in which it closed.

#include <memory>
#include <string>
#include <string_view>

#include "http/exchange.h"
#include "http/proxy.h"
#include "http/proxy_client.h"
#include "http/requester.h"
#include "loop/stream.h"
#include "loop/timers.h"

namespace candela::http {

class ProxyConnection final : public ProxyClient, public Requester, public StreamHandler {
public:
    ProxyConnection(Proxy& proxy, StreamPtr stream);
    ~ProxyConnection() override;

    void start() override;
    void drain() override;
    void close() override;

    const Stream* connection() const override { return stream_.get(); }
    ClientInfo client_info() const override {
        return ClientInfo{peer_ip_, peer_is_trusted_, stream_ != nullptr && stream_->is_encrypted(),
                          false};
    }
    ClientCertificates* client_certificates() override { return certificates_of(stream_.get()); }
    const RequestHead& request_head() const override { return parser_->head(); }
    const Framing& request_framing() const override { return parser_->framing(); }
    const Headers& request_trailers() const override { return parser_->trailers(); }
    void send_interim(const ResponseHead& head) override;
    void send_head(const ResponseHead& head, const Framing& framing,
                   const AnswerEdits& edits) override;
    void send_body(std::string_view bytes) override;
    void send_end(const Headers& trailers) override;
    void flush() override;
    void discard() override;
    size_t queued_bytes() const override { return stream_->queued_bytes(); }
    size_t queued_bytes_max() const override { return proxy_.options().buffer_bytes_max; }
    bool has_taken_more() override;
    void on_upstream_ready() override;
    void exchange_done() override;
    void answer_for_exchange(int status, std::string_view text, const Headers& fields,
                             const ErrorPages* pages) override;
    void start_relay() override;
    void relay_to_client(std::string_view bytes) override;
    void end_relay() override { stream_->end(); }
    void pause_reading() override;
    void resume_reading() override;

private:
    enum class State : uint8_t {
        kReading,   // between requests or in a head
        kBusy,      // an exchange is on its way
        kAnswered,  // answered before its end was parsed; there is no body
        kRelay,     // after an upgrade
        kLinger,    // all said; reads and drops, so that the answer isn't reset away
        kClosed,
    };
    enum class Wait : uint8_t { kNothing, kIdle, kHead, kBody, kLinger, kHalfClosed };

    void on_data(std::string_view bytes) override;
    void on_end() override;
    void on_error(const Error& error) override;
    void on_drained() override;

    bool is_persistent() const;
    bool may_be_http2(std::string_view bytes);
    bool may_parse() const;
    // Parses until it must wait; cuts off what it used.
    void process(std::string_view& bytes);
    void process_input();
    void settle();
    // Only between messages.
    void let_go_of_parser();
    void on_request_head();
    void on_request_complete();
    void on_malformed();
    void route_request();
    void answer(int status, std::string_view text, bool close_after, const Headers& fields = {},
                const ErrorPages* pages = nullptr);
    void write_answer(int status, std::string_view text, bool close_after, const Headers& fields,
                      const ErrorPages* pages);
    void finish_and_close();
    void wait(Wait what, Duration duration);
    void on_timer();
    void check_body_rate();

    Proxy& proxy_;
    StreamPtr stream_;
    // Null between requests: most connections are there, and it is most of what one takes.
    std::unique_ptr<RequestParser> parser_;
    uint32_t parser_version_ = 0;  // of the options that it was made with
    Exchange* exchange_ = nullptr;
    std::string input_;  // read and not parsed yet: the next request, or a body that has to wait
    Timer timer_;
    std::string peer_ip_;
    uint64_t written_bytes_ = 0;
    uint64_t taken_bytes_seen_ = 0;
    uint64_t body_bytes_ = 0;       // of this request
    uint64_t body_bytes_seen_ = 0;  // at the last check of the rate
    State state_ = State::kReading;
    Wait wait_ = Wait::kNothing;
    bool peer_is_trusted_ = false;
    ClientBody answer_body_ = ClientBody::kNone;
    bool persistent_ = true;  // the connection goes on after this answer
    bool is_new_ = true;      // it may turn out to speak HTTP/2
    bool has_body_ = false;
    bool request_complete_ = true;
    bool processing_ = false;
    bool paused_ = false;
    bool ended_ = false;          // the client's direction
    bool was_throttled_ = false;  // the body waited for the upstream since the last check
    bool memory_released_ = true;
};

}  // namespace candela::http
