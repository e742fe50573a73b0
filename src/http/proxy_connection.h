#pragma once

// One client connection of a proxy: reads requests one after the other, hands each to an Exchange
// or answers it itself, and keeps the client to the limits. Owned by the Proxy, which frees it in a
// later step of the loop than the one in which it closed.

#include <string>
#include <string_view>

#include "http/exchange.h"
#include "http/proxy.h"
#include "loop/stream.h"
#include "loop/timers.h"

namespace candela::http {

class ProxyConnection final : public StreamHandler {
public:
    ProxyConnection(Proxy& proxy, StreamPtr stream);
    ~ProxyConnection();

    void start();
    // Closes when idle; otherwise after the answer in progress.
    void drain();
    // Closes at once.
    void close();

    size_t index = 0;  // in the proxy's list

    // For the exchange.
    Stream& stream() { return *stream_; }
    const RequestParser& parser() const { return parser_; }
    bool is_persistent() const;
    void note_written(size_t bytes) { written_bytes_ += bytes; }
    // True where the client has taken something since the last call.
    bool has_taken_more();
    // The upstream takes the request's body now (again).
    void on_upstream_ready();
    void exchange_done(bool persistent);
    // Answers in the exchange's stead, as exchange_done() does: the exchange is over.
    void answer_for_exchange(int status, std::string_view text);
    void start_relay();
    void pause_reading();
    void resume_reading();

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

    bool may_parse() const;
    // Parses until it must wait; cuts off what it used.
    void process(std::string_view& bytes);
    void process_input();
    void settle();
    void on_request_head();
    void on_request_complete();
    void on_malformed();
    void route_request();
    void answer(int status, std::string_view text, bool close_after);
    void write_answer(int status, std::string_view text, bool close_after);
    void record_own_answer(int status);
    void finish_and_close();
    void wait(Wait what, Duration duration);
    void on_timer();
    void check_body_rate();

    Proxy& proxy_;
    StreamPtr stream_;
    RequestParser parser_;
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
    bool has_body_ = false;
    bool request_complete_ = true;
    bool processing_ = false;
    bool paused_ = false;
    bool ended_ = false;          // the client's direction
    bool was_throttled_ = false;  // the body waited for the upstream since the last check
    bool memory_released_ = true;
};

}  // namespace candela::http
