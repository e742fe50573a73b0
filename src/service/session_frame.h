#pragma once

// What `candela ctl exec` and a host say to each other, and a build on a host and who wants it
// (build_wish.h), over a stream that the lighthouse joins
// (docs/architecture.md "Sessions"): frames of one type byte, a 32-bit length in network order,
// and so many bytes. Numbers are never used again for something else; what a side does not know it
// skips. Values; no I/O.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candela::service {

enum class SessionFrame : uint8_t {
    // To the host.
    kInput = 1,     // bytes for the program's standard input
    kInputEnd = 2,  // there will be no more
    kResize = 3,    // uint16_t rows, uint16_t columns, in network order
    kBuild = 4,     // a BuildOrder; its sources follow as kInput
    // To the person.
    kStarted = 16,
    kStdout = 17,
    kStderr = 18,
    kExit = 19,    // int32_t code, int32_t signal, in network order: the end
    kFailed = 20,  // it never ran, or we lost it; text: the end
    kNote = 21,    // a line for people
    kBuilt = 22,   // a BuildResult; its bundle follows as kStdout, then kExit
};

inline constexpr size_t kSessionFrameMax = 64 * 1024;  // bytes of one payload

// Appends a frame; a payload that is longer is cut into several.
void add_session_frame(std::string& out, SessionFrame type, std::string_view payload = {});

// Two numbers as kResize and kExit have them.
std::string session_numbers16(uint16_t first, uint16_t second);
std::string session_numbers32(int32_t first, int32_t second);
// 0 where the payload is too short.
uint16_t session_number16(std::string_view payload, size_t index);
int32_t session_number32(std::string_view payload, size_t index);

class SessionReader {
public:
    void add(std::string_view bytes) { buffer_.append(bytes); }
    // The next whole frame; false: none yet. The payload is good until the next call. kCorrupt
    // where a frame is too long to be one.
    Result<bool> next(SessionFrame& type, std::string_view& payload);

private:
    std::string buffer_;
    size_t used_ = 0;
};

// A window's size, as people's terminals have them.
struct WindowSize {
    uint16_t rows = 24;
    uint16_t columns = 80;
};

// What a session runs, as the lighthouse tells the host: the target of its tunnel.
struct SessionWish {
    std::string instance;
    std::vector<std::string> command;
    bool has_terminal = false;
    WindowSize window;
    std::string terminal_kind;  // $TERM
};
std::string to_text(const SessionWish& wish);
Result<SessionWish> parse_session_wish(std::string_view text);

inline constexpr size_t kSessionCommandMax = 256;  // arguments

}  // namespace candela::service
