#include "bus/tunnel_frame.h"

namespace candela::bus {

void encode_tunnel_frame(TunnelFrameType type, uint64_t number, std::string_view text,
                         std::string& out) {
    out.clear();
    out.reserve(kTunnelHeaderBytes + text.size());
    out += static_cast<char>(type);
    for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(number >> shift & 0xFF);
    out += text;
}

std::optional<TunnelFrame> decode_tunnel_frame(std::string_view payload) {
    if (payload.size() < kTunnelHeaderBytes) return std::nullopt;
    const auto type = static_cast<uint8_t>(payload[0]);
    if (type < static_cast<uint8_t>(TunnelFrameType::kOpen) ||
        type > static_cast<uint8_t>(TunnelFrameType::kReset)) {
        return std::nullopt;
    }
    TunnelFrame frame;
    frame.type = static_cast<TunnelFrameType>(type);
    for (size_t i = 1; i < kTunnelHeaderBytes; ++i) {
        frame.number = frame.number << 8 | static_cast<uint8_t>(payload[i]);
    }
    frame.text = payload.substr(kTunnelHeaderBytes);
    return frame;
}

}  // namespace candela::bus
