#pragma once

// One request on an HTTP/2 session to an endpoint, and its answer: an exchange's responder. Pooled
// by its session, which gets it back when the exchange has let go and the stream is closed.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "http/h1_parser.h"
#include "http/h2_body.h"
#include "http/message.h"
#include "http/responder.h"

namespace candela::http {

class H2UpstreamSession;

class H2Call final : public Responder, public H2Body {
public:
    explicit H2Call(H2UpstreamSession& session) : session_(session) {}

    // From the session.
    void prepare(bool session_was_used);
    void add_field(std::string_view name, std::string_view value);
    void on_block(bool is_last);
    void on_data(std::string_view bytes);
    void on_last_data();
    // Our half is sent.
    void on_request_sent() { is_request_sent_ = true; }
    // The stream is no more.
    void on_closed(uint32_t h2_error);
    // The exchange ends.
    void on_broken(const ResponderFailure& failure);
    bool has_exchange() const { return exchange_ != nullptr; }
    bool has_stream() const { return id_ != 0; }
    void forget_stream() { id_ = 0; }  // its session is over
    void flush_client();
    void tell_drained();
    size_t index = 0;  // in the session's list

    void begin(Exchange& exchange, const ResponderRequest& request) override;
    void send_body(std::string_view bytes) override;
    void send_end(const Headers& trailers) override;
    size_t flush() override;
    void discard() override {}  // what began can only be reset
    size_t queued_bytes() const override { return waiting_bytes(); }
    void pause() override { is_paused_ = true; }
    void resume() override;
    bool was_used() const override { return session_was_used_; }
    bool is_multiplexed() const override { return true; }
    bool has_whole_body() const override { return H2Body::has_whole_body(); }
    std::string take_whole_body() override { return H2Body::take_whole_body(); }
    // Nothing is upgraded on HTTP/2, so that these are never called.
    void relay(std::string_view bytes) override;
    void end_relay() override;
    void give_back(Outcome outcome) override;

private:
    void on_body_taken() override;
    void submit(const ResponderRequest& request);
    void on_head(bool is_last);
    void on_trailers(bool is_last);
    void consume();

    H2UpstreamSession& session_;
    Exchange* exchange_ = nullptr;
    int32_t id_ = 0;
    ResponseHead head_;
    Framing framing_;
    std::unique_ptr<Headers> trailers_;
    size_t head_bytes_ = 0;  // with the trailers
    size_t unconsumed_ = 0;  // of the stream's window
    size_t gathered_ = 0;    // of the request, since the last flush()
    bool is_head_request_ = false;
    bool has_request_body_ = false;
    bool is_request_sent_ = false;
    bool session_was_used_ = false;
    bool has_head_ = false;  // the final one
    bool is_bodiless_ = false;
    bool is_answered_ = false;
    bool is_too_large_ = false;
    bool is_paused_ = false;
};

}  // namespace candela::http
