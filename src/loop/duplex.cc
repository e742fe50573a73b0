#include <utility>

#include "loop/in_process.h"

namespace candela {

namespace {

class DuplexStream;

// One end as the other end sees it. `stream` is touched on the end's own loop only.
struct DuplexEnd {
    explicit DuplexEnd(Loop& l) : loop(l) {}
    Loop& loop;
    DuplexStream* stream = nullptr;  // null once destroyed
};

class DuplexStream final : public Stream {
public:
    DuplexStream(std::shared_ptr<DuplexEnd> self, std::shared_ptr<DuplexEnd> peer,
                 std::shared_ptr<DuplexLink> link, std::string_view name)
        : self_(std::move(self)), peer_(std::move(peer)), link_(std::move(link)), name_(name) {
        self_->stream = this;
    }

    ~DuplexStream() override {
        self_->stream = nullptr;
        if (!sent_end_ || !got_end_) {
            to_peer([](DuplexStream& other) { other.got_reset(); });
        }
    }

    void start(StreamHandler& handler) override {
        handler_ = &handler;
        resume();
    }
    void pause() override { reading_ = false; }
    void resume() override {
        if (reading_) return;
        reading_ = true;
        if (!waiting_.empty() || end_waits_ || reset_) flush_later(true);
    }

    void write(std::span<const std::string_view> parts) override {
        if (ending_ || reset_) return;
        for (const std::string_view part : parts) {
            outgoing_ += part;
            queued_bytes_ += part.size();
        }
        if (!outgoing_.empty()) flush_later(false);
    }
    using Stream::write;
    size_t queued_bytes() const override { return queued_bytes_; }

    void end() override {
        if (ending_ || reset_) return;
        ending_ = true;
        flush_later(false);
    }

    Loop& loop() override { return self_->loop; }
    Address peer() const override { return Address::in_process(name_); }
    Address local() const override { return Address::in_process(name_); }

private:
    template <class F>
    void to_peer(F function) {
        link_->deliver(peer_->loop, [peer = peer_, function = std::move(function)]() mutable {
            if (peer->stream != nullptr) function(*peer->stream);
        });
    }

    // One deferred step serves all writes of a round, and reading that was resumed.
    void flush_later(bool for_reading) {
        if (for_reading) read_scheduled_ = true;
        if (flush_scheduled_) return;
        flush_scheduled_ = true;
        self_->loop.defer([self = self_] {
            if (self->stream != nullptr) self->stream->flush();
        });
    }

    void flush() {
        flush_scheduled_ = false;
        if (!outgoing_.empty()) {
            to_peer([bytes = std::exchange(outgoing_, {})](DuplexStream& other) mutable {
                other.got_bytes(std::move(bytes));
            });
        }
        if (ending_ && !sent_end_) {
            sent_end_ = true;
            to_peer([](DuplexStream& other) { other.got_end(); });
            if (queued_bytes_ == 0 && handler_ != nullptr) {
                const std::shared_ptr<DuplexEnd> self = self_;
                handler_->on_drained();
                if (self->stream == nullptr) return;
            }
        }
        if (std::exchange(read_scheduled_, false)) read_waiting();
    }

    void got_bytes(std::string bytes) {
        if (waiting_.empty())
            waiting_ = std::move(bytes);
        else
            waiting_ += bytes;
        read_waiting();
    }
    void got_end() {
        end_waits_ = true;
        read_waiting();
    }
    void got_reset() {
        reset_ = true;
        read_waiting();
    }
    void got_ack(size_t count) {
        queued_bytes_ -= count;
        if (queued_bytes_ == 0 && handler_ != nullptr && !reset_) handler_->on_drained();
    }

    void read_waiting() {
        const std::shared_ptr<DuplexEnd> self = self_;
        if (handler_ == nullptr || !reading_) return;
        if (!waiting_.empty()) {
            const std::string bytes = std::exchange(waiting_, {});
            to_peer([count = bytes.size()](DuplexStream& other) { other.got_ack(count); });
            handler_->on_data(bytes);
            if (self->stream == nullptr || !reading_) return;
        }
        if (end_waits_ && !got_end_) {
            got_end_ = true;
            handler_->on_end();
            if (self->stream == nullptr) return;
        }
        if (reset_ && !told_reset_) {
            told_reset_ = true;
            handler_->on_error(Error(Code::kUnreachable, "the peer closed the connection"));
        }
    }

    std::shared_ptr<DuplexEnd> self_;
    std::shared_ptr<DuplexEnd> peer_;
    std::shared_ptr<DuplexLink> link_;
    std::string name_;
    StreamHandler* handler_ = nullptr;
    std::string outgoing_;     // written in this round
    std::string waiting_;      // arrived while paused
    size_t queued_bytes_ = 0;  // written and not yet read by the peer
    bool reading_ = false;
    bool flush_scheduled_ = false;
    bool read_scheduled_ = false;
    bool ending_ = false;
    bool sent_end_ = false;
    bool end_waits_ = false;
    bool got_end_ = false;
    bool reset_ = false;
    bool told_reset_ = false;
};

}  // namespace

std::pair<StreamPtr, StreamPtr> make_duplex(Loop& first, Loop& second,
                                            std::shared_ptr<DuplexLink> link,
                                            std::string_view name) {
    auto a = std::make_shared<DuplexEnd>(first);
    auto b = std::make_shared<DuplexEnd>(second);
    auto left = std::make_unique<DuplexStream>(a, b, link, name);
    auto right = std::make_unique<DuplexStream>(b, a, link, name);
    return {std::move(left), std::move(right)};
}

}  // namespace candela
