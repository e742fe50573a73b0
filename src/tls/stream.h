#pragma once

// TLS over any Stream, as a Stream. The handshake is a flow; afterwards bytes go through OpenSSL's
// memory buffers, whose size is bounded: reading pauses with the stream above, and what is queued
// below counts in queued_bytes(). A peer that ends without close_notify is an error (truncation),
// not an end.

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/log.h"
#include "loop/flow.h"
#include "loop/stream.h"
#include "tls/context.h"

namespace candela::tls {

// Both take the stream (not yet started) and return it wrapped, the handshake done within the time
// given. Errors are readable: "certificate expired on …", "not trusted: fingerprint … where … was
// expected".
// `first_bytes` were read from the stream already. A client that is refused is given a moment to
// read the alert.
Task<Result<StreamPtr>> wrap_server(StreamPtr stream, std::shared_ptr<ServerContext> context,
                                    Duration timeout, std::string first_bytes = std::string());
// `server_name` is sent (SNI) and must be in the certificate, unless a fingerprint is pinned; an IP
// literal is matched against the certificate's IP addresses and not sent.
Task<Result<StreamPtr>> wrap_client(StreamPtr stream, std::shared_ptr<ClientContext> context,
                                    std::string server_name, Duration timeout);

// Runs the handshakes of accepted streams, a bounded number at a time, and hands on what succeeds.
class Acceptor final {
public:
    using OnStream = std::move_only_function<void(StreamPtr)>;
    static constexpr size_t kHandshakesMax = 256;  // one more is closed at once

    Acceptor(std::shared_ptr<ServerContext> context, Duration handshake_timeout, Logger log,
             OnStream on_stream);
    void accept(StreamPtr stream);

private:
    Task<void> handshake(StreamPtr stream);

    std::shared_ptr<ServerContext> context_;
    Duration handshake_timeout_;
    Logger log_;
    OnStream on_stream_;
    TaskGroup handshakes_;
};

}  // namespace candela::tls
