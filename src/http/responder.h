#pragma once

// Who answers an exchange, as the exchange sees it: a connection of HTTP/1.1 lent to it, or one
// stream of an HTTP/2 session. It sends the request in its protocol's form, reads the answer, and
// tells the exchange. The counterpart of Requester; on the proxy's loop.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "http/headers.h"

namespace candela::http {

class Exchange;

// What goes upstream. Views are good as long as the exchange has the responder.
struct ResponderRequest {
    std::string_view head;  // as append_upstream_request() writes it, for either protocol
    bool is_head = false;   // the method is HEAD
    bool has_body = false;
    bool is_chunked = false;  // on HTTP/1.1
    bool offers_upgrade = false;
};

// Why an answer does not come, or not to its end.
struct ResponderFailure {
    enum class Kind : uint8_t {
        kBroken,     // nobody knows what has become of the request
        kRefused,    // not processed: the peer says so, and has too much to do
        kGoingAway,  // not processed: the peer says so, and that this connection ends
    };
    std::string_view what;
    Kind kind = Kind::kBroken;
    uint32_t h2_error = 2;  // for the client, RFC 9113 §7; INTERNAL_ERROR
};

class Responder {
public:
    // How the exchange was left when it gives its responder back.
    enum class Outcome : uint8_t {
        kReusable,  // answered, and the connection can serve another
        kBroken,    // failed, or not wanted any more
        kTimedOut,
    };

    // The request's head; it is with the peer after flush(), as are all that follow.
    virtual void begin(Exchange& exchange, const ResponderRequest& request) = 0;
    virtual void send_body(std::string_view bytes) = 0;  // borrowed until flush()
    virtual void send_end(const Headers& trailers) = 0;
    // Returns how many bytes were sent since the last call.
    virtual size_t flush() = 0;
    // Drops what is gathered and not flushed.
    virtual void discard() = 0;
    // Bytes of the request that wait for the peer. When they have become few,
    // Exchange::on_upstream_drained() is called.
    virtual size_t queued_bytes() const = 0;
    // Whether the answer is read.
    virtual void pause() = 0;
    virtual void resume() = 0;

    // It served another exchange before, and may have been closed since without our knowing.
    virtual bool was_used() const = 0;
    // A request on it takes nothing from others, however long it stays open.
    virtual bool is_multiplexed() const = 0;
    // All of the body that was sent, where it is still at hand.
    virtual bool has_whole_body() const { return false; }
    virtual std::string take_whole_body() { return {}; }

    // After Exchange::start_relay() (HTTP/1.1 only): raw bytes.
    virtual void relay(std::string_view bytes) = 0;
    virtual void end_relay() = 0;

    // The exchange calls it no more, and is not called by it.
    virtual void give_back(Outcome outcome) = 0;

protected:
    ~Responder() = default;
};

struct GiveBackBroken {
    void operator()(Responder* responder) const {
        responder->give_back(Responder::Outcome::kBroken);
    }
};
using ResponderPtr = std::unique_ptr<Responder, GiveBackBroken>;

}  // namespace candela::http
