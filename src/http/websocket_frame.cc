#include "http/websocket_frame.h"

#include <algorithm>
#include <cstring>

namespace candela::http {

namespace {

constexpr uint8_t kFinal = 0x80;
constexpr uint8_t kReserved = 0x70;
constexpr uint8_t kMasked = 0x80;
constexpr uint8_t kTwoByteLength = 126;
constexpr uint8_t kEightByteLength = 127;
constexpr size_t kPieceMax = 64 * 1024;  // unmasked at a time

// Bytes of a frame's head, from its second byte.
size_t head_size(uint8_t second) {
    const uint8_t length = second & 0x7f;
    const size_t extended = length == kTwoByteLength ? 2 : length == kEightByteLength ? 8 : 0;
    return 2 + extended + ((second & kMasked) != 0 ? 4 : 0);
}

bool is_known(uint8_t opcode) { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

}  // namespace

// True once the head is whole; nothing of `input` is left otherwise.
bool WebSocketReader::take_head(std::string_view& input) {
    while (true) {
        const size_t needed = head_bytes_ < 2 ? 2 : head_size(head_[1]);
        if (head_bytes_ == needed) return true;
        if (input.empty()) return false;
        const size_t taken = std::min(needed - head_bytes_, input.size());
        std::memcpy(head_.data() + head_bytes_, input.data(), taken);
        head_bytes_ += taken;
        input.remove_prefix(taken);
    }
}

bool WebSocketReader::check_head() {
    const uint8_t first = head_[0];
    const uint8_t length = head_[1] & 0x7f;
    error_ = WebSocketStatus::kProtocolError;
    // A client masks (§5.1), and no extension was agreed on that could use the reserved bits.
    if ((head_[1] & kMasked) == 0 || (first & kReserved) != 0) return false;
    const uint8_t opcode = first & 0x0f;
    if (!is_known(opcode)) return false;
    frame_.opcode = static_cast<WebSocketOpcode>(opcode);
    frame_.is_final = (first & kFinal) != 0;
    uint64_t payload = length;
    const size_t extended = length == kTwoByteLength ? 2 : length == kEightByteLength ? 8 : 0;
    if (extended != 0) {
        payload = 0;
        for (size_t i = 0; i < extended; ++i) payload = payload << 8 | head_[2 + i];
        // The shortest form is the only one (§5.2).
        if (payload < kTwoByteLength || (extended == 8 && payload <= 0xffff)) return false;
    }
    std::memcpy(frame_.mask.data(), head_.data() + 2 + extended, 4);
    frame_.payload_bytes = payload;
    if (is_control()) {
        return frame_.is_final && payload <= kWebSocketControlMax;
    }
    const bool continues = frame_.opcode == WebSocketOpcode::kContinuation;
    if (continues != in_message_) return false;
    in_message_ = !frame_.is_final;
    error_ = WebSocketStatus::kTooBig;
    return payload <= frame_bytes_max_;
}

void WebSocketReader::unmask(std::string_view bytes) {
    plain_.resize(bytes.size());
    char* out = plain_.data();
    const char* in = bytes.data();
    size_t left = bytes.size();
    uint8_t mask[8];
    for (size_t i = 0; i < 8; ++i) mask[i] = frame_.mask[(mask_at_ + i) & 3];
    uint64_t wide = 0;
    std::memcpy(&wide, mask, 8);
    for (; left >= 8; left -= 8, in += 8, out += 8) {
        uint64_t word = 0;
        std::memcpy(&word, in, 8);
        word ^= wide;
        std::memcpy(out, &word, 8);
    }
    for (size_t i = 0; i < left; ++i) out[i] = static_cast<char>(in[i] ^ mask[i]);
    mask_at_ = (mask_at_ + bytes.size()) & 3;
}

WebSocketReader::Event WebSocketReader::read(std::string_view& input) {
    while (true) {
        if (!in_frame_) {
            if (!take_head(input)) return Event::kNeedMore;
            head_bytes_ = 0;
            if (!check_head()) return fail(error_);
            in_frame_ = true;
            frame_left_ = frame_.payload_bytes;
            mask_at_ = 0;
            control_.clear();
        }
        const uint64_t limit = std::min<uint64_t>(frame_left_, kPieceMax);
        const std::string_view piece = input.substr(0, static_cast<size_t>(limit));
        input.remove_prefix(piece.size());
        unmask(piece);
        frame_left_ -= piece.size();
        if (is_control()) {
            control_ += plain_;
            if (frame_left_ != 0) return Event::kNeedMore;
            in_frame_ = false;
            payload_ = control_;
            return Event::kControl;
        }
        if (frame_left_ == 0) in_frame_ = false;
        if (!piece.empty()) {
            payload_ = plain_;
            return Event::kPayload;
        }
        if (in_frame_) return Event::kNeedMore;  // an empty frame is just passed over
    }
}

std::string_view websocket_head(WebSocketOpcode opcode, uint64_t payload_bytes,
                                WebSocketHead& space) {
    char* out = space.space;
    *out++ = static_cast<char>(kFinal | static_cast<uint8_t>(opcode));
    size_t extended = 0;
    if (payload_bytes < kTwoByteLength) {
        *out++ = static_cast<char>(payload_bytes);
    } else if (payload_bytes <= 0xffff) {
        *out++ = static_cast<char>(kTwoByteLength);
        extended = 2;
    } else {
        *out++ = static_cast<char>(kEightByteLength);
        extended = 8;
    }
    for (size_t i = extended; i > 0; --i) {
        *out++ = static_cast<char>(payload_bytes >> (8 * (i - 1)) & 0xff);
    }
    return {space.space, static_cast<size_t>(out - space.space)};
}

std::optional<WebSocketStatus> parse_websocket_close(std::string_view payload) {
    if (payload.empty()) return WebSocketStatus::kNoStatus;
    if (payload.size() == 1) return std::nullopt;
    const unsigned status =
        static_cast<uint8_t>(payload[0]) << 8 | static_cast<uint8_t>(payload[1]);
    // 1004 to 1006 and 1015 are never sent, and what lies below 3000 otherwise is not given out.
    const bool is_registered =
        (status >= 1000 && status <= 1003) || (status >= 1007 && status <= 1014);
    if (!is_registered && (status < 3000 || status > 4999)) return std::nullopt;
    return static_cast<WebSocketStatus>(status);
}

}  // namespace candela::http
