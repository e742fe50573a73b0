#pragma once

// Frames of the WebSocket protocol (RFC 6455 §5): reading those that a client sends, and writing a
// server's. The reader hands on the payload of messages as it comes, unmasked, in pieces, so that
// nothing is gathered whole; it keeps at most one frame head and one control frame. Cutting the
// input elsewhere never changes what is read. For one connection and thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace candela::http {

enum class WebSocketOpcode : uint8_t {
    kContinuation = 0,
    kText = 1,
    kBinary = 2,
    kClose = 8,
    kPing = 9,
    kPong = 10,
};

// RFC 6455 §7.4.1: why an end ends the connection.
enum class WebSocketStatus : uint16_t {
    kNormal = 1000,
    kGoingAway = 1001,
    kProtocolError = 1002,
    kNoStatus = 1005,  // a close frame without one; never sent
    kPolicyViolation = 1008,
    kTooBig = 1009,
};

inline constexpr size_t kWebSocketControlMax = 125;  // payload of a control frame (§5.5)

struct WebSocketFrame {
    WebSocketOpcode opcode = WebSocketOpcode::kBinary;
    bool is_final = true;
    uint64_t payload_bytes = 0;
    std::array<uint8_t, 4> mask{};
};

class WebSocketReader {
public:
    // A frame with more payload is refused with kTooBig.
    explicit WebSocketReader(uint64_t frame_bytes_max) : frame_bytes_max_(frame_bytes_max) {}

    enum class Event : uint8_t { kNeedMore, kPayload, kControl, kError };

    // Takes the front of `input` and cuts it off. kPayload: payload() is a piece of a message, good
    // until the next call. kControl: control_opcode() came with payload() whole. kError: error()
    // says with what to close; nothing more may be read.
    Event read(std::string_view& input);

    std::string_view payload() const { return payload_; }
    WebSocketOpcode control_opcode() const { return frame_.opcode; }
    WebSocketStatus error() const { return error_; }

private:
    static constexpr size_t kHeadMax = 14;
    bool take_head(std::string_view& input);
    bool check_head();
    void unmask(std::string_view bytes);
    Event fail(WebSocketStatus status) {
        error_ = status;
        return Event::kError;
    }
    bool is_control() const { return (static_cast<uint8_t>(frame_.opcode) & 8) != 0; }

    const uint64_t frame_bytes_max_;
    std::array<uint8_t, kHeadMax> head_{};
    size_t head_bytes_ = 0;  // of it, read so far
    bool in_frame_ = false;
    bool in_message_ = false;  // a message has begun, and its last frame has not come
    WebSocketFrame frame_;
    uint64_t frame_left_ = 0;
    size_t mask_at_ = 0;
    std::string control_;
    std::string plain_;  // the piece being handed on
    std::string_view payload_;
    WebSocketStatus error_ = WebSocketStatus::kNormal;
};

// A server's frame head, in `space`.
struct WebSocketHead {
    char space[10];
};
std::string_view websocket_head(WebSocketOpcode opcode, uint64_t payload_bytes,
                                WebSocketHead& space);

// What a close frame says; nothing where its payload is none (§5.5.1, §7.4).
std::optional<WebSocketStatus> parse_websocket_close(std::string_view payload);

}  // namespace candela::http
