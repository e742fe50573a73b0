#pragma once

// What an engine sends of a container's output: frames of one stream or the other, and in those of
// a log the time of each message in front. Values without I/O.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "loop/process.h"

namespace candela::host {

// The multiplexed stream (Docker Engine API, "Attach to a container", stream format): a byte that
// names the stream, three zeros, the payload's length in big endian, the payload. Payloads come in
// pieces as they arrive; nothing is gathered.
class DockerFrames {
public:
    // Once as a frame begins, without bytes; then for each piece, with what is still to come of it.
    using OnPiece = std::function<void(OutputKind kind, std::string_view piece, uint64_t left)>;

    explicit DockerFrames(OnPiece on_piece) : on_piece_(std::move(on_piece)) {}

    // kCorrupt where it is not such a stream; nothing more can be read of it then.
    Result<> feed(std::string_view bytes);

    static constexpr size_t kHeadBytes = 8;

private:
    OnPiece on_piece_;
    char head_[kHeadBytes] = {};
    size_t head_bytes_ = 0;
    OutputKind kind_ = OutputKind::kStdout;
    uint64_t left_ = 0;  // of the frame's payload
};

// How far one stream of a container's log has been taken: the time of the last message, in
// nanoseconds since 1970, and how many of that time there were. The pieces of a long line all have
// the time of the first.
struct DockerStreamPosition {
    uint64_t time_ns = 0;
    uint64_t count = 0;
    friend bool operator==(const DockerStreamPosition&, const DockerStreamPosition&) = default;
};

struct DockerLogPosition {
    DockerStreamPosition out;
    DockerStreamPosition err;

    // From where to ask for more. The two streams are not quite in the order of their times; what
    // comes twice is dropped by DockerLog.
    uint64_t since_ns() const;
    friend bool operator==(const DockerLogPosition&, const DockerLogPosition&) = default;
};

// "2026-11-25T23:36:53.500617173Z" as nanoseconds since 1970 (RFC 3339).
// kInvalid for anything else.
Result<uint64_t> parse_engine_time(std::string_view text);

// A log with timestamps, of which the messages behind a position are handed on without their time.
class DockerLog {
public:
    using OnOutput = std::function<void(OutputKind kind, std::string_view bytes)>;

    DockerLog(DockerLogPosition position, OnOutput on_output);
    DockerLog(const DockerLog&) = delete;
    DockerLog& operator=(const DockerLog&) = delete;

    Result<> feed(std::string_view bytes) { return frames_.feed(bytes); }
    const DockerLogPosition& position() const { return position_; }

    static constexpr size_t kTimeBytesMax = 64;

private:
    void on_piece(OutputKind kind, std::string_view piece, uint64_t left);
    bool is_known(OutputKind kind);

    struct Stream {
        DockerStreamPosition before;  // what came earlier
        uint64_t met = 0;             // of before.count
        bool is_past = false;         // what comes now is new, whatever clocks do
    };
    Stream& stream(OutputKind kind) { return kind == OutputKind::kStdout ? out_ : err_; }

    DockerLogPosition position_;
    Stream out_;
    Stream err_;
    OnOutput on_output_;
    std::string time_;  // of the message that has begun
    uint64_t time_ns_ = 0;
    bool is_in_time_ = false;
    bool is_known_ = false;  // the message came before
    DockerFrames frames_;
};

}  // namespace candela::host
