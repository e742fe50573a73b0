#pragma once

// One connection of a FlowServer: parses requests, runs one handler's flow at a time, and writes
// its answer. Private to flow_server.cc and flow_connection.cc. Everything that ends it is
// deferred, so that it is never destroyed below one of its own calls.

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "http/flow_server.h"

namespace candela::http {

struct FlowServer::State {
    State(Loop& l, Handler& h, ServerOptions o, Logger g)
        : loop(l), handler(h), options(std::move(o)), log(std::move(g)) {}

    Loop& loop;
    Handler& handler;
    const ServerOptions options;
    const Logger log;
    bool draining = false;
    Event removed;  // a connection has gone
    std::unordered_map<Connection*, std::unique_ptr<Connection>> connections;
};

class FlowServer::Connection final : public StreamHandler {
public:
    Connection(State& server, StreamPtr stream);
    void start();
    // There are too many connections: says so and closes.
    void start_refusing();
    // The server is draining: ends now what is idle or open-ended, and the rest after its answer.
    void drain();

    const RequestHead& head() const { return parser_.head(); }
    uint64_t announced_length() const { return parser_.framing().content_length; }
    Task<Result<std::optional<std::string>>> read_chunk();
    void respond(int status, const Headers& headers, std::string_view body);
    Result<> begin(ResponseHead head);
    Result<StreamPtr> upgrade(std::string_view protocol);
    Task<Result<>> write(std::string_view bytes);
    Result<> end();

private:
    enum class Phase : uint8_t {
        kIdle,       // between requests
        kHead,       // a head has begun
        kHandling,   // a handler runs
        kFinishing,  // the answer is on its way out
        kUpgraded,   // the handler has the stream
        kLingering,  // our direction has ended; what still comes is thrown away
    };

    void on_data(std::string_view bytes) override;
    void on_end() override;
    void on_error(const Error& error) override;
    void on_drained() override;

    void process(std::string_view bytes);
    // False where the request was answered here.
    bool on_head();
    void on_body_error(const ParseError& error);
    void hold(std::string_view bytes);
    void start_handler();
    static void on_handler_done(void* connection);
    void finish_request();
    void next_request();
    void answer_error(int status, std::string_view message);
    void send_continue();
    Result<> send_head(ResponseHead& head, std::string_view body);
    void on_timer();
    void linger();
    void remove_soon();
    void defer(void (Connection::*method)());
    void remove();

    State& server_;
    StreamPtr stream_;  // null once it is the handler's
    RequestParser parser_;
    Phase phase_ = Phase::kIdle;
    bool gone_ = false;  // will be removed; nothing is read or written any more
    bool peer_ended_ = false;
    bool paused_ = false;
    bool all_sent_ = false;  // after our direction has ended
    bool keep_alive_ = true;
    bool continue_owed_ = false;  // the client waits for 100 Continue
    bool body_complete_ = false;
    bool is_chunked_ = false;                // the answer
    std::optional<uint64_t> response_left_;  // of an answer with Content-Length
    std::string body_;                       // received, not yet read
    std::optional<Error> body_error_;
    std::string held_;           // what came behind the request being handled
    uint64_t window_bytes_ = 0;  // of the body, in window_waited_
    Duration window_waited_{0};
    size_t queued_before_ = 0;  // when the write timer was started
    size_t lingered_bytes_ = 0;
    Timer timer_;  // what it stands for follows from the phase and waiting_body_
    bool waiting_body_ = false;
    Event changed_;                      // body, drained or error: whoever waits looks again
    std::shared_ptr<Connection*> self_;  // for deferred calls
    std::unique_ptr<ServerRequest> request_;
    std::optional<Task<void>> task_;  // last: it is destroyed before what it uses
};

}  // namespace candela::http
