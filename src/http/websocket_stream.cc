#include "http/websocket_stream.h"

#include <algorithm>
#include <array>

#include "loop/loop.h"

namespace candela::http {

namespace {

// A client that pings and reads nothing gets no further answers (§5.5.3 lets us answer the last).
constexpr size_t kPongBacklogMax = 64 * 1024;

}  // namespace

WebSocketStream::WebSocketStream(StreamPtr below, uint64_t frame_bytes_max, std::string first_bytes)
    : below_(std::move(below)),
      reader_(frame_bytes_max),
      leftover_(std::move(first_bytes)),
      self_(std::make_shared<WebSocketStream*>(this)) {}

WebSocketStream::~WebSocketStream() = default;

void WebSocketStream::start(StreamHandler& handler) {
    handler_ = &handler;
    paused_ = false;
    below_->start(*this);
    if (!leftover_.empty()) pump_later();
}

void WebSocketStream::pause() {
    paused_ = true;
    below_->pause();
}

void WebSocketStream::resume() {
    paused_ = false;
    if (leftover_.empty()) {
        below_->resume();
    } else {
        pump_later();  // in order: what is here already comes first
    }
}

void WebSocketStream::pump_later() {
    if (pump_scheduled_) return;
    pump_scheduled_ = true;
    below_->loop().defer([self = std::weak_ptr<WebSocketStream*>(self_)] {
        const auto stream = self.lock();
        if (stream == nullptr) return;
        WebSocketStream& pumped = **stream;
        pumped.pump_scheduled_ = false;
        const std::string input = std::exchange(pumped.leftover_, {});
        const std::weak_ptr<WebSocketStream*> still = stream;
        pumped.pump(input);
        if (still.expired() || pumped.closed_ || pumped.paused_) return;
        pumped.below_->resume();
    });
}

void WebSocketStream::on_data(std::string_view bytes) {
    if (!leftover_.empty()) {
        leftover_ += bytes;
        return;
    }
    pump(bytes);
}

// The handler may destroy this in each call.
void WebSocketStream::pump(std::string_view input) {
    const std::weak_ptr<WebSocketStream*> self = self_;
    while (!closed_ && !paused_) {
        switch (reader_.read(input)) {
            case WebSocketReader::Event::kNeedMore: return;
            case WebSocketReader::Event::kPayload:
                handler_->on_data(reader_.payload());
                if (self.expired()) return;
                break;
            case WebSocketReader::Event::kControl:
                if (!on_control(reader_.control_opcode(), reader_.payload())) return;
                break;
            case WebSocketReader::Event::kError:
                closed_ = true;
                send_close(reader_.error());
                handler_->on_error(Error(Code::kInvalid, "what came is not a WebSocket frame"));
                return;
        }
    }
    if (!closed_ && !input.empty()) {
        below_->pause();
        leftover_.assign(input);
    }
}

// False: the stream has ended, or is gone.
bool WebSocketStream::on_control(WebSocketOpcode opcode, std::string_view payload) {
    if (opcode == WebSocketOpcode::kPing) {
        if (ended_ || below_->queued_bytes() > kPongBacklogMax) return true;
        WebSocketHead space;
        const std::string_view head = websocket_head(WebSocketOpcode::kPong, payload.size(), space);
        const std::array<std::string_view, 2> frame = {head, payload};
        below_->write(frame);
        return true;
    }
    if (opcode != WebSocketOpcode::kClose) return true;  // a pong that nobody asked for
    closed_ = true;
    const std::optional<WebSocketStatus> status = parse_websocket_close(payload);
    send_close(status.value_or(WebSocketStatus::kProtocolError));
    handler_->on_end();
    return false;
}

void WebSocketStream::send_close(WebSocketStatus status) {
    if (ended_) return;
    ended_ = true;
    const auto code = static_cast<uint16_t>(status);
    const char text[2] = {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
    const std::string_view payload(text, status == WebSocketStatus::kNoStatus ? 0 : 2);
    WebSocketHead space;
    const std::string_view head = websocket_head(WebSocketOpcode::kClose, payload.size(), space);
    const std::array<std::string_view, 2> frame = {head, payload};
    below_->write(frame);
    below_->end();
}

void WebSocketStream::write(std::span<const std::string_view> parts) {
    if (ended_) return;
    constexpr size_t kPartsMax = 8;
    std::array<std::string_view, kPartsMax> frame;
    size_t total = 0;
    for (const std::string_view part : parts) total += part.size();
    if (total == 0) return;
    WebSocketHead space;
    frame[0] = websocket_head(WebSocketOpcode::kBinary, total, space);
    if (parts.size() < kPartsMax) {
        std::copy(parts.begin(), parts.end(), frame.begin() + 1);
        below_->write(std::span<const std::string_view>(frame.data(), parts.size() + 1));
        return;
    }
    std::string joined;
    joined.reserve(total);
    for (const std::string_view part : parts) joined += part;
    frame[1] = joined;
    below_->write(std::span<const std::string_view>(frame.data(), 2));
}

void WebSocketStream::end() { send_close(end_status_); }

// An end without a close frame: whatever was whole has been handed on.
void WebSocketStream::on_end() {
    if (closed_) return;
    closed_ = true;
    handler_->on_end();
}

void WebSocketStream::on_error(const Error& error) {
    if (closed_) return;
    closed_ = true;
    handler_->on_error(error);
}

}  // namespace candela::http
