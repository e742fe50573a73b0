#pragma once

// An HTTP/1.1 server for APIs: each request runs one coroutine. It takes streams of any kind (TCP,
// unix socket, TLS, in process), keeps connections alive, bounds everything, and cancels a
// request's flow when its client goes away. Lives on one loop; not for the gateway's hot path.
//
//     class Api final : public http::Handler {
//         Task<void> handle(http::ServerRequest& request) override {
//             request.respond(200, "application/json", "{}");
//             co_return;
//         }
//     };

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/result.h"
#include "http/h1_parser.h"
#include "http/target.h"
#include "loop/flow.h"
#include "loop/stream.h"

namespace candela::http {

class ServerRequest;

class Handler {
public:
    virtual ~Handler() = default;
    // Answers the request. Returning without an answer sends 500; returning in the middle of a
    // streamed response cuts the connection, so that the client sees that it is not whole. The flow
    // is destroyed when the client goes away, which shows to it as any cancellation.
    virtual Task<void> handle(ServerRequest& request) = 0;
};

struct ServerOptions {
    size_t connections_max = 1024;  // one more is answered 503 and closed
    Duration head_timeout = 10s;    // from a request's first byte to its empty line; 408
    Duration idle_timeout = 60s;    // between requests; closed without a word
    // While a handler waits for the body it must come at least this fast, measured over windows;
    // 408.
    uint64_t body_rate_bytes_min = 512;  // per second
    Duration body_rate_window = 10s;
    Duration write_timeout = 30s;  // a client that takes nothing for this long is cut off
    size_t body_buffer_bytes_max = 256 * 1024;   // read ahead of the handler; then the client waits
    size_t write_buffer_bytes_max = 256 * 1024;  // queued behind a slow client; then write() waits
    ParserLimits limits;
};

// Who is at the other end.
struct PeerInfo {
    Address address;
    std::optional<uint32_t> uid;  // of the process, over a unix socket
    bool encrypted = false;
};

class FlowServer final {
public:
    // The handler is borrowed and outlives the server.
    FlowServer(Loop& loop, Handler& handler, ServerOptions options, Logger log);
    // Closes every connection at once and cancels the requests in flight.
    ~FlowServer();
    FlowServer(const FlowServer&) = delete;
    FlowServer& operator=(const FlowServer&) = delete;

    // Serves the stream; made to be called from a Listener's accept handler.
    void accept(StreamPtr stream);
    // Takes no new requests, closes idle connections, and returns when those in flight have ended;
    // what is left at the deadline is cut off. Open-ended responses are cut at once.
    Task<void> drain(MonoTime deadline);

    size_t connection_count() const;

private:
    friend class ServerRequest;
    class Connection;
    struct State;
    std::unique_ptr<State> state_;
};

// One request and its answer. Owned by the server; good until the handler returns.
class ServerRequest final {
public:
    ServerRequest(const ServerRequest&) = delete;
    ServerRequest& operator=(const ServerRequest&) = delete;

    const RequestHead& head() const;
    const std::string& method() const { return head().method; }
    // The normalised path, still percent-encoded (target.h); a bad one was answered with 400
    // already.
    const std::string& path() const { return path_; }
    const QueryParams& query() const { return query_; }
    // The first parameter of that name.
    std::optional<std::string_view> query(std::string_view name) const;
    std::optional<std::string_view> header(std::string_view name) const {
        return head().headers.get(name);
    }
    const PeerInfo& peer() const { return peer_; }

    // The whole body; kExhausted (413) when it is larger than that.
    Task<Result<std::string>> read_all(size_t size_bytes_max);
    // The next piece of the body, absent at its end. Reading asks for it where the client waits for
    // 100 Continue. A body that is not read makes the client wait.
    Task<Result<std::optional<std::string>>> read_chunk();

    // The whole answer; Content-Length, Date and Connection are added. Once per request: a second
    // answer is logged and dropped.
    void respond(int status, std::string_view content_type, std::string_view body);
    void respond(int status, const Headers& headers, std::string_view body);

    // A streamed answer: begin, write…, end. Chunked unless the head has a Content-Length.
    Task<Result<>> begin(ResponseHead head);
    // Waits while more than write_buffer_bytes_max are queued for the client.
    Task<Result<>> write(std::string_view bytes);
    Task<Result<>> end();
    // Answers 101 to a request that asked for this protocol (RFC 9110 §7.8), and hands out the
    // connection, which is the handler's from now on; it ends with the handler's flow. kInvalid
    // where the request did not ask, or the client did not wait. The stream is to be started.
    Result<StreamPtr> upgrade(std::string_view protocol);
    // Says that the answer has no end of its own (logs followed, events): a drain cuts it at once.
    void mark_open_ended() { open_ended_ = true; }
    bool has_begun_response() const { return response_begun_; }
    bool is_streaming() const { return response_begun_ && !response_ended_; }

private:
    friend class FlowServer;
    friend class FlowServer::Connection;
    explicit ServerRequest(FlowServer::Connection& connection) : connection_(connection) {}

    FlowServer::Connection& connection_;
    std::string path_;
    QueryParams query_;
    PeerInfo peer_;
    bool response_begun_ = false;
    bool response_ended_ = false;
    bool open_ended_ = false;
};

}  // namespace candela::http
