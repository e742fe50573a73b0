#pragma once

// Lines of text over a stream, in both directions: what processes of one machine say to each other
// about a hand-over. Lives on the stream's loop.

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "loop/flow.h"
#include "loop/stream.h"

namespace candela {

class LineChannel final : private StreamHandler {
public:
    static constexpr size_t kLineBytesMax = 1 << 20;    // of a longer one the channel breaks
    static constexpr size_t kLinesMax = 64;             // that nobody has asked for: likewise
    static constexpr size_t kQueuedBytesMax = 4 << 20;  // to a peer that does not read

    explicit LineChannel(StreamPtr stream);
    LineChannel(const LineChannel&) = delete;
    LineChannel& operator=(const LineChannel&) = delete;

    // Without the line's end. Dropped where the channel has ended or its queue is full.
    void write(std::string_view line);
    // The next line, without its end; Code::kUnreachable when the peer has ended. One waits at a
    // time.
    Task<Result<std::string>> next();
    bool has_ended() const { return has_ended_; }
    std::optional<uint32_t> peer_uid() const { return stream_->peer_uid(); }

private:
    void on_data(std::string_view bytes) override;
    void on_end() override;
    void on_error(const Error& error) override;

    StreamPtr stream_;
    std::string partial_;
    std::deque<std::string> lines_;
    Event changed_;
    bool has_ended_ = false;
};

}  // namespace candela
