#include "paced_stream.h"

#include "loop/loop.h"

namespace candela::bus_role {

namespace {

constexpr size_t kPieceBytes = 2048;

}  // namespace

PacedStream::PacedStream(StreamPtr below, StreamHandler& handler)
    : below_(std::move(below)),
      handler_(&handler),
      timer_(below_->loop().timers(), [this] { go_on(); }),
      self_(std::make_shared<PacedStream*>(this)) {
    below_->start(*this);
}

PacedStream::~PacedStream() = default;

void PacedStream::pause_for(Duration duration) {
    const MonoTime until = below_->loop().now() + duration;
    if (timer_.is_active() && until <= until_) return;
    until_ = until;
    timer_.start(duration);
    below_->pause();
}

void PacedStream::start(StreamHandler& handler) {
    handler_ = &handler;
    resume();
}

void PacedStream::pause() {
    is_paused_ = true;
    below_->pause();
}

void PacedStream::resume() {
    is_paused_ = false;
    if (!may_read()) return;
    if (leftover_.empty()) return below_->resume();
    if (is_scheduled_) return;
    // Never from within the owner's call.
    is_scheduled_ = true;
    below_->loop().defer([self = std::weak_ptr<PacedStream*>(self_)] {
        const auto stream = self.lock();
        if (stream == nullptr) return;
        (*stream)->is_scheduled_ = false;
        (*stream)->go_on();
    });
}

void PacedStream::go_on() {
    if (!may_read()) return;
    const std::weak_ptr<PacedStream*> self = self_;
    if (!leftover_.empty()) hand_on(std::exchange(leftover_, {}));
    if (!self.expired() && may_read()) below_->resume();
}

void PacedStream::on_data(std::string_view bytes) {
    if (leftover_.empty() && may_read()) return hand_on(bytes);
    leftover_ += bytes;
    below_->pause();
}

// The handler may destroy this in each call.
void PacedStream::hand_on(std::string_view bytes) {
    const std::weak_ptr<PacedStream*> self = self_;
    while (!bytes.empty()) {
        if (!may_read()) {
            leftover_.assign(bytes);
            below_->pause();
            return;
        }
        const std::string_view piece = bytes.substr(0, kPieceBytes);
        bytes.remove_prefix(piece.size());
        handler_->on_data(piece);
        if (self.expired()) return;
    }
}

}  // namespace candela::bus_role
