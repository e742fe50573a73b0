#pragma once

// The messages of a tunnel. Each is one type byte, one 64-bit number in network order, and text:
//
//   OPEN    the request to the listener: number = the opener's window; text = inbox LF target
//   ACCEPT  its answer: number = the listener's window; text = inbox
//   REFUSE  its answer: text = why
//   DATA    number = offset of the first byte in its direction; text = the bytes
//   END     number = length of the direction, which is over
//   WINDOW  number = bytes of the other direction that were passed on in all
//   ALIVE   number = bytes sent in all; asks for an answer only so that a peer that is gone is
//   noticed RESET   text = why
//
// Offsets are what makes a lost message an error instead of a hole.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace candela::bus {

enum class TunnelFrameType : uint8_t {
    kOpen = 1,
    kAccept = 2,
    kRefuse = 3,
    kData = 4,
    kEnd = 5,
    kWindow = 6,
    kAlive = 7,
    kReset = 8,
};

struct TunnelFrame {
    TunnelFrameType type{};
    uint64_t number = 0;
    std::string_view text;
};

inline constexpr size_t kTunnelHeaderBytes = 9;

// Replaces the content of `out`.
void encode_tunnel_frame(TunnelFrameType type, uint64_t number, std::string_view text,
                         std::string& out);
std::optional<TunnelFrame> decode_tunnel_frame(std::string_view payload);

}  // namespace candela::bus
