#pragma once

// Answers an exchange from memory: the responder where there is no upstream. It gives as much at
// once as the client takes. On the exchange's loop.

#include <memory>
#include <string>

#include "http/responder.h"

namespace candela::http {

class CachedBody final : public Responder {
public:
    // The part of `body` that is sent.
    static ResponderPtr make(std::shared_ptr<const std::string> body, uint64_t begin, uint64_t end);

    void begin(Exchange& exchange, const ResponderRequest&) override { exchange_ = &exchange; }
    void send_body(std::string_view) override {}
    void send_end(const Headers&) override {}
    size_t flush() override { return 0; }
    void discard() override {}
    size_t queued_bytes() const override { return 0; }
    void pause() override { is_paused_ = true; }
    // Sends on; the end is the exchange's, too.
    void resume() override;
    bool was_used() const override { return false; }
    bool is_multiplexed() const override { return false; }
    void relay(std::string_view) override {}
    void end_relay() override {}
    void give_back(Outcome outcome) override;

private:
    CachedBody(std::shared_ptr<const std::string> body, uint64_t begin, uint64_t end)
        : body_(std::move(body)), at_(begin), end_(end) {}

    const std::shared_ptr<const std::string> body_;
    uint64_t at_;
    const uint64_t end_;
    Exchange* exchange_ = nullptr;
    bool is_paused_ = false;
    bool is_sending_ = false;
    bool* is_gone_ = nullptr;  // while it sends: set when it is no more
};

}  // namespace candela::http
