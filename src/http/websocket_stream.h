#pragma once

// The server's side of a WebSocket as a Stream of bytes: the payloads of all messages, one behind
// the other; each write is one binary message. Pings are answered, a close frame is answered and
// ends both directions, and what breaks RFC 6455 is told with its status and is an error. No
// extension is spoken. Lives on its stream's loop.

#include <memory>
#include <optional>
#include <string>

#include "http/websocket_frame.h"
#include "loop/stream.h"

namespace candela::http {

class WebSocketStream final : public Stream, private StreamHandler {
public:
    // `first_bytes` were read behind the request's head already.
    WebSocketStream(StreamPtr below, uint64_t frame_bytes_max, std::string first_bytes);
    ~WebSocketStream() override;

    // What end() says; kNormal until it is called.
    void set_end_status(WebSocketStatus status) { end_status_ = status; }

    void start(StreamHandler& handler) override;
    void pause() override;
    void resume() override;
    void write(std::span<const std::string_view> parts) override;
    using Stream::write;
    size_t queued_bytes() const override { return below_->queued_bytes(); }
    void end() override;
    Loop& loop() override { return below_->loop(); }
    Address peer() const override { return below_->peer(); }
    Address local() const override { return below_->local(); }
    bool is_encrypted() const override { return below_->is_encrypted(); }

private:
    void on_data(std::string_view bytes) override;
    void on_end() override;
    void on_error(const Error& error) override;
    void on_drained() override { handler_->on_drained(); }

    void pump(std::string_view input);
    bool on_control(WebSocketOpcode opcode, std::string_view payload);
    void send_close(WebSocketStatus status);
    void pump_later();

    StreamPtr below_;
    WebSocketReader reader_;
    StreamHandler* handler_ = nullptr;
    std::string leftover_;  // came while nobody read; at most what one read of `below_` brings
    bool paused_ = false;
    bool pump_scheduled_ = false;
    bool ended_ = false;   // ours
    bool closed_ = false;  // nothing more is read
    WebSocketStatus end_status_ = WebSocketStatus::kNormal;
    std::shared_ptr<WebSocketStream*> self_;  // expires with this
};

}  // namespace candela::http
