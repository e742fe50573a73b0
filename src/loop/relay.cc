#include "loop/relay.h"

namespace candela {

namespace {
// While what is queued at the end goes out.
constexpr Duration kLookInterval = 20ms;
}  // namespace

Relay::Relay(Loop& loop, StreamPtr a, StreamPtr b, std::string first_bytes, size_t queue_bytes_max)
    : queue_bytes_max_(queue_bytes_max), later_(loop.timers(), [this] { look(); }) {
    sides_[0].emplace(*this, 0, std::move(a));
    sides_[1].emplace(*this, 1, std::move(b));
    if (!first_bytes.empty()) sides_[1]->stream->write(first_bytes);
    sides_[0]->stream->start(*sides_[0]);
    sides_[1]->stream->start(*sides_[1]);
}

void Relay::Side::on_data(std::string_view bytes) {
    other().stream->write(bytes);
    if (other().stream->queued_bytes() > relay.queue_bytes_max_) stream->pause();
}

void Relay::Side::on_drained() {
    if (!other().has_ended) other().stream->resume();
}

void Relay::Side::on_end() {
    has_ended = true;
    other().stream->end();
    relay.later_.start(Duration(0));
}

void Relay::Side::on_error(const Error& error) {
    if (!relay.error_) relay.error_ = error;
    relay.later_.start(Duration(0));
}

// From a timer, never from within a call of a stream: whoever waits may destroy us.
void Relay::look() {
    const bool has_ended = sides_[0]->has_ended && sides_[1]->has_ended;
    const size_t queued = sides_[0]->stream->queued_bytes() + sides_[1]->stream->queued_bytes();
    if (error_ || (has_ended && queued == 0)) return over_.set();
    if (has_ended) later_.start(kLookInterval);
}

Task<Result<>> Relay::wait() {
    co_await over_.wait();
    if (error_) co_return fail(*error_);
    co_return Result<>();
}

}  // namespace candela
