#pragma once

// An HTTP/1.1 client for ctl, probes and tests, as flows. Keeps a few connections for reuse. Lives
// on one loop. Destroying a task cancels its request and closes the connection.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "http/h1_parser.h"
#include "loop/flow.h"
#include "loop/stream.h"

namespace candela::tls {
class ClientContext;
}

namespace candela::http {

// Hands out a request body piece by piece; absent at the end. A failure ends the request.
class BodySource {
public:
    virtual ~BodySource() = default;
    virtual Task<Result<std::optional<std::string>>> next() = 0;
};

struct ClientRequest {
    Address address;
    std::string method = "GET";
    std::string target = "/";
    Headers headers;   // Host, Content-Length and Transfer-Encoding are added
    std::string host;  // for the Host field; empty: the address, or "localhost" for other kinds

    std::string body;                           // or:
    std::unique_ptr<BodySource> body_source;    // chunked, unless the length is given
    std::optional<uint64_t> body_length_bytes;  // of body_source
    std::function<void(uint64_t sent_bytes)> on_progress;

    std::shared_ptr<tls::ClientContext> tls;  // absent: no encryption
    std::string server_name;  // that the certificate must name; empty: the address's host

    Duration connect_timeout = 10s;     // with the TLS handshake
    Duration first_byte_timeout = 30s;  // from the request's last byte to the response's head
    Duration idle_timeout = 60s;  // without a byte in either direction while a body is on its way
};

struct ClientOptions {
    size_t pooled_connections_max = 8;
    Duration pooled_idle_timeout = 15s;         // below the server's
    size_t body_buffer_bytes_max = 256 * 1024;  // read ahead of the reader
    size_t write_buffer_bytes_max = 256 * 1024;
    ParserLimits limits;
};

namespace detail {
class ClientConnection;
class ClientPool;
}  // namespace detail

// An answer whose body is still to be read. Dropping it unread closes its connection.
class ClientResponse final {
public:
    ResponseHead head;

    int status() const { return head.status; }
    // The next piece of the body, absent at its end.
    Task<Result<std::optional<std::string>>> read_chunk();
    // The whole body; kExhausted where it is larger than that.
    Task<Result<std::string>> read_all(size_t size_bytes_max);

    ClientResponse(ClientResponse&&) noexcept;
    ClientResponse& operator=(ClientResponse&&) noexcept;
    ~ClientResponse();

private:
    friend class Client;
    ClientResponse(std::shared_ptr<detail::ClientPool> pool,
                   std::unique_ptr<detail::ClientConnection> connection);
    void release_if_over();

    std::shared_ptr<detail::ClientPool> pool_;
    std::unique_ptr<detail::ClientConnection> connection_;  // absent once the body is over
};

class Client final {
public:
    explicit Client(Loop& loop, ClientOptions options = ClientOptions());
    ~Client();  // responses that are still read live on
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    // Sends the request and returns when the response's head is there (interim ones are skipped).
    // An idempotent request with a string body is sent once more where a pooled connection turns
    // out closed. An answer that comes before the body is sent ends the sending.
    Task<Result<ClientResponse>> send(ClientRequest request);

private:
    std::shared_ptr<detail::ClientPool> pool_;
};

}  // namespace candela::http
