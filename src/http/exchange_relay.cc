// An exchange after 101 Switching Protocols: raw bytes both ways, each direction ended by itself,
// each side read only as fast as the other takes.

#include "http/exchange.h"

namespace candela::http {

void Exchange::start_relay(std::string_view rest) {
    client_->flush();
    Balancer::on_success(*endpoint_);
    state_ = State::kRelay;
    bump(proxy_.counters_.upgrades);
    timer_.start(proxy_.options_.relay_timeout);
    if (!rest.empty()) on_relay_data(rest);
    client_->start_relay();
}

void Exchange::on_relay_data(std::string_view bytes) {
    timer_.start(proxy_.options_.relay_timeout);
    client_->relay_to_client(bytes);
    sent_bytes_ += bytes.size();
    flush_client();
}

void Exchange::on_relay_end() {
    upstream_ended_ = true;
    client_->end_relay();
    timer_.start(proxy_.options_.send_timeout);
}

void Exchange::relay_from_client(std::string_view bytes) {
    timer_.start(proxy_.options_.relay_timeout);
    received_bytes_ += bytes.size();
    responder_->relay(bytes);
    if (is_upstream_full()) client_->pause_reading();
}

void Exchange::on_client_end() {
    client_ended_ = true;
    responder_->end_relay();
    timer_.start(proxy_.options_.send_timeout);
}

// Both have said all, and a stream that was ended tells when that is out.
void Exchange::end_relay_if_drained() {
    if (client_->queued_bytes() > 0 || responder_->queued_bytes() > 0) return;
    client_->close();
}

}  // namespace candela::http
