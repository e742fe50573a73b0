#pragma once

// One request on an HTTP/2 connection, and its answer. Pooled by its connection; what the client
// sends comes by the session's callbacks, what the upstream answers by the exchange.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "http/exchange.h"
#include "http/h2_body.h"
#include "http/requester.h"

namespace candela::http {

class H2Connection;

class H2Stream final : public Requester, public H2Body {
public:
    explicit H2Stream(H2Connection& connection) : connection_(connection) {}

    // What the session tells.
    void begin(int32_t id);
    void add_field(std::string_view name, std::string_view value);
    void on_head(bool has_body);
    void on_trailers();
    void on_body(std::string_view bytes);
    void on_request_end();
    // The stream is no more; whatever goes on for it ends.
    void on_closed();
    bool is_request_complete() const { return is_complete_; }

    void tell_drained();

    // False where the client has taken or sent too little since the last call, so long ago.
    bool check_progress(MonoTime now);

    int32_t id() const { return id_; }
    size_t index = 0;  // in the connection's list

    const Stream* connection() const override;
    ClientInfo client_info() const override;
    ClientCertificates* client_certificates() override;
    const RequestHead& request_head() const override { return head_; }
    const Framing& request_framing() const override { return framing_; }
    const Headers& request_trailers() const override {
        return trailers_ != nullptr ? *trailers_ : kNoHeaders;
    }
    void send_interim(const ResponseHead& head) override;
    void send_head(const ResponseHead& head, const Framing& framing,
                   const AnswerEdits& edits) override;
    void send_body(std::string_view bytes) override;
    void send_end(const Headers& trailers) override { end_body_with(trailers); }
    void flush() override;
    void discard() override {}  // what began can only be reset
    size_t queued_bytes() const override { return waiting_bytes(); }
    size_t queued_bytes_max() const override { return kBodyMax; }
    bool has_taken_more() override;
    void on_upstream_ready() override { feed(); }
    void exchange_done() override;
    void answer_for_exchange(int status, std::string_view text, const Headers& fields,
                             const ErrorPages* pages) override;
    void close() override;
    void cut(uint32_t h2_error) override;
    // No request of HTTP/2 is upgraded, so that none of these is ever called.
    void start_relay() override;
    void relay_to_client(std::string_view bytes) override;
    void end_relay() override;
    void pause_reading() override;
    void resume_reading() override;

private:
    static constexpr size_t kBodyMax = 64 * 1024;  // of an answer, that waits for the client

    void on_body_taken() override;

    // Null: all is well. Otherwise what is wrong with the head; its status is in `status`.
    const char* check_head(bool has_body, int& status);
    void answer(int status, std::string_view text, const Headers& fields = {},
                const ErrorPages* pages = nullptr);
    void submit(const ResponseHead& head, bool has_body, bool may_have_length,
                const AnswerEdits& edits);
    void feed();
    void consume(size_t bytes);
    void drop_pending();
    void reset_stream(uint32_t error_code);

    H2Connection& connection_;
    int32_t id_ = 0;
    RequestHead head_;
    Framing framing_;
    std::string scheme_;
    std::string authority_;
    std::string cookie_;
    Exchange* exchange_ = nullptr;
    std::string pending_;  // of the request's body, while the upstream does not take it
    std::unique_ptr<Headers> trailers_;  // of the request
    size_t head_bytes_ = 0;              // with the trailers
    uint64_t taken_seen_ = 0;            // of the answer
    uint64_t received_ = 0;              // of the request's body
    uint64_t received_seen_ = 0;
    uint64_t progress_seen_ = 0;
    MonoTime checked_at_{};
    bool is_too_large_ = false;
    bool is_routed_ = false;     // the head is complete
    bool is_complete_ = false;   // the request is
    bool is_end_told_ = false;   // to the exchange
    bool is_throttled_ = false;  // the upstream did not take the body since the last check
    bool has_answer_ = false;    // its head is with the session
    bool has_body_ = false;      // the answer
};

}  // namespace candela::http
