#pragma once

// The HTTP/2 sessions of one loop to one endpoint (RFC 9113 with prior knowledge): one that all
// exchanges share, and a further one when it has as many streams as it takes. Owned by the
// Endpoint; on its loop.

#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "http/h1_parser.h"
#include "loop/loop.h"

namespace candela::http {

class Endpoint;
class H2Call;
class H2UpstreamSession;

struct H2UpstreamOptions {
    ParserLimits response_limits;
    Duration connect_timeout = 5s;  // and again until the endpoint has said its SETTINGS
};

class H2Upstream {
public:
    using ReadyHandler = std::move_only_function<void(Result<>)>;

    H2Upstream(Endpoint& endpoint, H2UpstreamOptions options);
    ~H2Upstream();
    H2Upstream(const H2Upstream&) = delete;
    H2Upstream& operator=(const H2Upstream&) = delete;

    // A stream of a session for one exchange, to which it comes as its responder. Null where no
    // session has room.
    H2Call* open_call();
    // Makes a session. `ready` is called later, when it is there and open_call() worth another
    // try, or when it failed: Code::kUnsupported where the endpoint does not speak HTTP/2.
    // Destroying the attempt cancels.
    [[nodiscard]] std::unique_ptr<ConnectAttempt> wait(ReadyHandler ready);
    // Whether one of both has a chance.
    bool has_room() const;
    // Sessions take nothing new, and end with what they have. New ones may be made.
    void drain();
    size_t session_count() const { return sessions_.size(); }

private:
    friend class H2Call;
    friend class H2UpstreamSession;
    class Waiter;

    void connect();
    void on_connected(Result<StreamPtr> stream);
    // What a session tells.
    void on_open(const H2UpstreamSession& session);
    void on_room();
    void on_not_open(const Error& error);
    // It is over, and lives on until the loop's next step.
    void on_gone(H2UpstreamSession& session);
    void tell_waiters(const Error* failure);

    Endpoint& endpoint_;
    const H2UpstreamOptions options_;
    std::vector<std::unique_ptr<H2UpstreamSession>> sessions_;
    std::list<Waiter*> waiters_;
    std::unique_ptr<ConnectAttempt> connecting_;
    std::unique_ptr<Timer> connect_timer_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace candela::http
