#pragma once

// A Stream is a connected, ordered byte channel: TCP, unix socket, in-process, TLS over one of
// them, or simulated. It lives on one loop and is owned by whoever holds the unique_ptr; destroying
// it closes at once and drops what is still queued. It may be destroyed inside any of its handler's
// callbacks.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "loop/address.h"

namespace candela {

class Loop;

class StreamHandler {
public:
    // Bytes arrived; they are valid during the call only.
    virtual void on_data(std::string_view bytes) = 0;
    // The peer ended its direction; ours may go on.
    virtual void on_end() = 0;
    // The stream is broken; nothing more will be called. Never called from within write() or end().
    virtual void on_error(const Error& error) = 0;
    // A write had to queue, and the queue has become empty again; after end(): all is with the
    // kernel, and the stream may be destroyed without loss.
    virtual void on_drained() {}

protected:
    ~StreamHandler() = default;  // handlers are borrowed, never deleted through this
};

class Stream {
public:
    virtual ~Stream() = default;
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    // Sets who is told, and starts reading. Called again, it hands the stream to another handler
    // (an upgrade, say). The handler must outlive the stream or be replaced.
    virtual void start(StreamHandler& handler) = 0;
    // Stops and restarts on_data (backpressure). Both may be called at any time, repeatedly.
    virtual void pause() = 0;
    virtual void resume() = 0;

    // Sends what the kernel takes now and queues a copy of the rest. The caller bounds the queue:
    // it looks at queued_bytes() and waits for on_drained(). Failure shows as a later on_error.
    virtual void write(std::span<const std::string_view> parts) = 0;
    void write(std::string_view bytes) { write(std::span<const std::string_view>(&bytes, 1)); }
    virtual size_t queued_bytes() const = 0;
    // Ends our direction once the queue is sent.
    virtual void end() = 0;

    virtual Loop& loop() = 0;
    // The other side, for logs and X-Forwarded-For: an IP literal with its port, or a path.
    virtual Address peer() const = 0;
    virtual Address local() const = 0;
    // The uid of the process at the other end of a unix socket.
    virtual std::optional<uint32_t> peer_uid() const { return std::nullopt; }
    // What TLS negotiated ("http/1.1", "h2"); empty otherwise.
    virtual std::string_view alpn() const { return {}; }
    virtual bool is_encrypted() const { return false; }

protected:
    Stream() = default;
};

using StreamPtr = std::unique_ptr<Stream>;

// Accepts until it is destroyed.
class Listener {
public:
    virtual ~Listener() = default;
    // The address in fact bound (a port of 0 has become a real one).
    virtual const Address& address() const = 0;
};

// A connection attempt; destroying it cancels, and its callback is then never called.
class ConnectAttempt {
public:
    virtual ~ConnectAttempt() = default;
};

}  // namespace candela
