#pragma once

// Who asked for an exchange, as the exchange sees it: the request in progress on an HTTP/1.1
// connection, or one stream of an HTTP/2 connection. It says what was asked, writes the answer in
// its protocol's form, and tells how far the client is behind. Borrowed by the exchange until one
// of exchange_done(), answer_for_exchange() and close(), or until it aborts the exchange itself. On
// the proxy's loop.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/error_pages.h"
#include "http/h1_parser.h"
#include "http/route_options.h"
#include "loop/stream.h"

namespace candela::http {

// Who is at the other end. Views are good as long as the requester.
struct ClientInfo {
    std::string_view ip;      // of the connection; empty for a unix socket
    bool is_trusted = false;  // a proxy whose X-Forwarded-* are believed
    bool is_encrypted = false;
    bool is_http2 = false;
};

class ClientCertificates;

class Requester {
public:
    // The connection that the request came by; null where none is open for it.
    virtual const Stream* connection() const = 0;
    // Nobody waits for the answer.
    virtual bool is_detached() const { return false; }
    virtual ClientInfo client_info() const = 0;
    // Null where the connection is not encrypted.
    virtual ClientCertificates* client_certificates() = 0;
    virtual const RequestHead& request_head() const = 0;
    virtual const Framing& request_framing() const = 0;
    // Once Exchange::end_body() is called.
    virtual const Headers& request_trailers() const = 0;

    // The answer, from its interim heads on. What is sent is gathered, and borrowed until flush().
    virtual void send_interim(const ResponseHead& head) = 0;
    // `framing` is that of the upstream's answer.
    virtual void send_head(const ResponseHead& head, const Framing& framing,
                           const AnswerEdits& edits) = 0;
    virtual void send_body(std::string_view bytes) = 0;
    virtual void send_end(const Headers& trailers) = 0;
    virtual void flush() = 0;
    // Drops what is gathered and not flushed.
    virtual void discard() = 0;

    // Bytes of the answer that wait for the client; beyond the maximum, the upstream is not read
    // until Exchange::on_client_drained().
    virtual size_t queued_bytes() const = 0;
    virtual size_t queued_bytes_max() const = 0;
    // True where the client has taken something since the last call.
    virtual bool has_taken_more() = 0;

    // The upstream takes the request's body now (again).
    virtual void on_upstream_ready() = 0;
    // The answer is sent whole.
    virtual void exchange_done() = 0;
    // Answers in the exchange's stead: the exchange is over. `pages` may be null.
    virtual void answer_for_exchange(int status, std::string_view text, const Headers& fields,
                                     const ErrorPages* pages) = 0;
    // Cuts the client off: part of the answer is out and the rest will not come. Aborts the
    // exchange.
    virtual void close() = 0;
    // The same, with the error that the upstream has reset its stream with (RFC 9113 §7).
    virtual void cut(uint32_t /*h2_error*/) { close(); }

    // After send_head() of a 101 (HTTP/1.1 only): raw bytes both ways.
    virtual void start_relay() = 0;
    virtual void relay_to_client(std::string_view bytes) = 0;
    virtual void end_relay() = 0;  // the upstream has no more
    virtual void pause_reading() = 0;
    virtual void resume_reading() = 0;

protected:
    ~Requester() = default;
};

}  // namespace candela::http
