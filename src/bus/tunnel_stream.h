#pragma once

// One end of a tunnel. TunnelCore does the work and is what messages and timers find; TunnelStream
// is the Stream that its user owns. Internal to src/bus.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "bus/tunnel.h"
#include "bus/tunnel_frame.h"

namespace candela::bus {

class TunnelCore final : public std::enable_shared_from_this<TunnelCore> {
public:
    TunnelCore(Client& client, const TunnelOptions& options, std::string_view name);
    ~TunnelCore();

    // Subscribes the inbox in which this end is reached.
    Result<> listen();
    const std::string& inbox() const { return inbox_; }
    // The other end is known: from now on bytes may flow.
    void open(std::string peer_inbox, uint64_t peer_window);
    // The listener's end: starting it answers `reply` and opens it, closing it before refuses it.
    void offer(std::string reply, std::string peer_inbox, uint64_t peer_window);
    // What is called once the stream is destroyed or broken for good; for a listener's count.
    void on_gone(std::function<void()> callback) { on_gone_ = std::move(callback); }

    // For TunnelStream.
    void start(StreamHandler& handler);
    void pause() { is_reading_ = false; }
    void resume();
    void write(std::span<const std::string_view> parts);
    void end();
    void close();
    size_t queued_bytes() const { return queue_.size() - queue_front_; }
    Loop& loop() { return client_.loop(); }
    const std::string& name() const { return name_; }

private:
    struct Offer {
        std::string reply;
        std::string peer_inbox;
        uint64_t peer_window = 0;
    };
    void accept();
    void answer(TunnelFrameType type, uint64_t number, std::string_view text);
    void on_message(const MessageView& message);
    void on_data(const TunnelFrame& frame);
    void hand_on();
    void pump();
    void send(TunnelFrameType type, uint64_t number, std::string_view text = {});
    void grant_window();
    void on_timer();
    void break_off(Error error, bool tell_peer);
    void tell_drained();
    void tell_error();
    bool is_over() const { return sent_end_ && told_end_; }

    Client& client_;
    TunnelOptions options_;
    std::string name_;
    std::string inbox_;
    std::optional<Offer> offer_;  // neither accepted nor refused
    std::string peer_inbox_;
    Subscription subscription_;
    StreamHandler* handler_ = nullptr;
    std::function<void()> on_gone_;
    Timer timer_;
    MonoTime heard_at_;

    std::string queue_;  // written and not yet sent
    size_t queue_front_ = 0;
    uint64_t sent_ = 0;  // bytes
    uint64_t acknowledged_ = 0;
    uint64_t peer_window_ = 0;
    bool is_open_ = false;
    bool is_ending_ = false;
    bool sent_end_ = false;
    bool was_queued_ = false;  // on_drained is owed

    std::string waiting_;  // received and not yet passed on
    uint64_t received_ = 0;
    uint64_t passed_on_ = 0;
    uint64_t granted_ = 0;  // passed_on_ as the peer knows it
    bool is_reading_ = false;
    bool got_end_ = false;
    bool told_end_ = false;
    bool told_sent_ = false;  // on_drained after end()

    bool is_closed_ = false;
    std::optional<Error> error_;
    bool told_error_ = false;
    std::string frame_;  // the one being sent; kept for its storage
};

class TunnelStream final : public Stream {
public:
    explicit TunnelStream(std::shared_ptr<TunnelCore> core) : core_(std::move(core)) {}
    ~TunnelStream() override { core_->close(); }

    void start(StreamHandler& handler) override { core_->start(handler); }
    void pause() override { core_->pause(); }
    void resume() override { core_->resume(); }
    void write(std::span<const std::string_view> parts) override { core_->write(parts); }
    using Stream::write;
    size_t queued_bytes() const override { return core_->queued_bytes(); }
    void end() override { core_->end(); }
    Loop& loop() override { return core_->loop(); }
    Address peer() const override { return Address::in_process(core_->name()); }
    Address local() const override { return Address::in_process(core_->name()); }

private:
    std::shared_ptr<TunnelCore> core_;
};

}  // namespace candela::bus
