#pragma once

// A stream that is read no faster than its user may publish: pause_for() stops it, beside whatever
// pauses its owner asks for. What comes is handed on in small pieces, so that a pause takes effect
// soon. Lives on its stream's loop.

#include <memory>
#include <string>

#include "loop/stream.h"
#include "loop/timers.h"

namespace candela::bus_role {

class PacedStream final : public Stream, private StreamHandler {
public:
    // `below` is handed to `handler` already, and stays so through this.
    PacedStream(StreamPtr below, StreamHandler& handler);
    ~PacedStream() override;

    // Nothing is handed on for so long from now, or longer where that was asked for already.
    void pause_for(Duration duration);
    bool is_pausing() const { return timer_.is_active(); }

    void start(StreamHandler& handler) override;
    void pause() override;
    void resume() override;
    void write(std::span<const std::string_view> parts) override { below_->write(parts); }
    using Stream::write;
    size_t queued_bytes() const override { return below_->queued_bytes(); }
    void end() override { below_->end(); }
    Loop& loop() override { return below_->loop(); }
    Address peer() const override { return below_->peer(); }
    Address local() const override { return below_->local(); }
    std::optional<uint32_t> peer_uid() const override { return below_->peer_uid(); }
    bool is_encrypted() const override { return below_->is_encrypted(); }

private:
    void on_data(std::string_view bytes) override;
    void on_end() override { handler_->on_end(); }
    void on_error(const Error& error) override { handler_->on_error(error); }
    void on_drained() override { handler_->on_drained(); }

    bool may_read() const { return !is_paused_ && !timer_.is_active(); }
    void hand_on(std::string_view bytes);
    void go_on();

    StreamPtr below_;
    StreamHandler* handler_;
    std::string leftover_;  // came before the pause; at most what one read brings
    bool is_paused_ = false;
    bool is_scheduled_ = false;
    MonoTime until_{};
    Timer timer_;
    std::shared_ptr<PacedStream*> self_;  // expires with this
};

}  // namespace candela::bus_role
