#include "tls_upgrade.h"

#include "tls/stream.h"

namespace candela::bus_role {

namespace {

constexpr char kHandshakeRecord = 0x16;  // what a TLS connection begins with (RFC 8446 §5.1)

}  // namespace

TlsUpgradeStream::TlsUpgradeStream(StreamPtr below, EntrancePtr entrance, Logger log)
    : loop_(below->loop()),
      entrance_(std::move(entrance)),
      log_(std::move(log)),
      peer_(below->peer()),
      local_(below->local()),
      below_(std::move(below)),
      self_(std::make_shared<TlsUpgradeStream*>(this)) {}

TlsUpgradeStream::~TlsUpgradeStream() = default;

void TlsUpgradeStream::start(StreamHandler& handler) {
    handler_ = &handler;
    paused_ = false;
    if (state_ == State::kSecure || state_ == State::kClear) {
        below_->start(handler);
    } else if (state_ == State::kWaiting || (below_ != nullptr && !entrance_->tls_required)) {
        below_->start(*this);
    }
    // Where TLS is required nothing is read before INFO is out: what comes is the handshake's.
}

void TlsUpgradeStream::pause() {
    paused_ = true;
    if (below_ != nullptr) below_->pause();
}

void TlsUpgradeStream::resume() {
    paused_ = false;
    const bool reads = state_ != State::kGreeting || !entrance_->tls_required;
    if (below_ != nullptr && handler_ != nullptr && reads) below_->resume();
}

void TlsUpgradeStream::write(std::span<const std::string_view> parts) {
    switch (state_) {
        case State::kGreeting:
            below_->write(parts);
            state_ = State::kWaiting;
            if (entrance_->tls_required && !ended_) begin_handshake({});
            return;
        case State::kShaking:
            for (const std::string_view part : parts) held_ += part;
            return;
        case State::kBroken: return;
        default: below_->write(parts);
    }
}

size_t TlsUpgradeStream::queued_bytes() const {
    return held_.size() + (below_ != nullptr ? below_->queued_bytes() : 0);
}

void TlsUpgradeStream::end() {
    ended_ = true;
    if (below_ != nullptr) below_->end();
}

void TlsUpgradeStream::on_data(std::string_view bytes) {
    if (bytes.front() == kHandshakeRecord) {
        begin_handshake(std::string(bytes));
        return;
    }
    state_ = State::kClear;
    StreamHandler& handler = *handler_;
    below_->start(handler);
    handler.on_data(bytes);  // may destroy this
}

void TlsUpgradeStream::on_end() { handler_->on_end(); }
void TlsUpgradeStream::on_error(const Error& error) { handler_->on_error(error); }
void TlsUpgradeStream::on_drained() { handler_->on_drained(); }

void TlsUpgradeStream::begin_handshake(std::string first_bytes) {
    state_ = State::kShaking;
    handshake_.spawn(shake_hands(std::move(first_bytes)));
}

Task<void> TlsUpgradeStream::shake_hands(std::string first_bytes) {
    Result<StreamPtr> secured = co_await tls::wrap_server(
        std::move(below_), entrance_->tls, entrance_->handshake_timeout, std::move(first_bytes));
    if (secured) {
        become_secure(std::move(*secured));
    } else {
        log_.debug("bus_tls_refused", {{"client", peer_.to_string()}, {"error", secured.error()}});
        fail_later(secured.error());
    }
}

// Calls nobody who could destroy this: the flow that runs it is ours.
void TlsUpgradeStream::become_secure(StreamPtr secured) {
    below_ = std::move(secured);
    state_ = State::kSecure;
    if (handler_ != nullptr) below_->start(*handler_);
    if (paused_) below_->pause();
    const bool was_held = !held_.empty();
    if (was_held) below_->write(std::exchange(held_, {}));
    if (ended_) below_->end();
    if (!was_held || below_->queued_bytes() != 0) return;
    loop_.defer([self = std::weak_ptr<TlsUpgradeStream*>(self_)] {
        const auto stream = self.lock();
        if (stream != nullptr && (*stream)->handler_ != nullptr) (*stream)->handler_->on_drained();
    });
}

void TlsUpgradeStream::fail_later(Error error) {
    state_ = State::kBroken;
    held_.clear();
    loop_.defer([self = std::weak_ptr<TlsUpgradeStream*>(self_), error = std::move(error)] {
        const auto stream = self.lock();
        if (stream != nullptr && (*stream)->handler_ != nullptr)
            (*stream)->handler_->on_error(error);
    });
}

}  // namespace candela::bus_role
