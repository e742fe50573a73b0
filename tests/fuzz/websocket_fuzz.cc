// What a WebSocket client sends: frames cut anywhere are read as the whole is, and nothing crashes.
// The first byte says how the input is cut.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "http/websocket_frame.h"

using namespace candela::http;

namespace {

std::string read(std::string_view input, size_t piece) {
    WebSocketReader reader(64 * 1024);
    std::string out;
    while (!input.empty()) {
        std::string_view part = input.substr(0, piece);
        input.remove_prefix(part.size());
        while (true) {
            const WebSocketReader::Event event = reader.read(part);
            if (event == WebSocketReader::Event::kNeedMore) break;
            if (event == WebSocketReader::Event::kError) {
                return out + "!" + std::to_string(static_cast<int>(reader.error()));
            }
            if (event == WebSocketReader::Event::kControl) {
                out += "#" + std::to_string(static_cast<int>(reader.control_opcode()));
                parse_websocket_close(reader.payload());
            }
            out += reader.payload();
        }
        if (!part.empty()) std::abort();  // all of it was used
    }
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const size_t piece = size_t{data[0]} + 1;
    const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
    if (read(input, piece) != read(input, SIZE_MAX)) std::abort();
    return 0;
}
