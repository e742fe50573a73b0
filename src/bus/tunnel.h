#pragma once

// Byte streams carried over the bus, for peers that can't be reached straight (a host behind NAT).
// The opener asks `subject` for a stream to `target`; both sides then send numbered chunks to each
// other's inbox, each within the window that the other grants, so that a slow reader bounds what is
// in flight. A lost chunk, a reset or a peer that goes silent breaks the stream with an error. One
// loop.
//
// Wire form: docs/architecture.md and tunnel_frame.h.

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/result.h"
#include "bus/client.h"
#include "loop/stream.h"
#include "loop/task.h"

namespace candela::bus {

struct TunnelOptions {
    size_t chunk_bytes_max = 64 * 1024;
    size_t window_bytes = 256 * 1024;  // what the peer may send before we have passed it on
    Duration keepalive_interval = 5s;
    Duration dead_after = 20s;  // nothing from the peer for so long: the stream breaks
    size_t streams_max = 4096;  // of one listener; more are refused
};

// Accepts until it is destroyed; the streams accepted live on. The client must outlive both.
class TunnelListener {
public:
    // `target` is the opener's text, to be checked by the handler. Starting the stream accepts it,
    // at any time; destroying it before refuses it.
    using AcceptHandler = std::function<void(StreamPtr stream, std::string target)>;

    static Result<std::unique_ptr<TunnelListener>> create(Client& client, std::string_view subject,
                                                          AcceptHandler on_accept, Logger log,
                                                          TunnelOptions options = {});
    ~TunnelListener();

private:
    struct State;
    explicit TunnelListener(std::shared_ptr<State> state);
    std::shared_ptr<State> state_;
};

// kUnreachable where nobody listens on the subject, kTimeout where there is no answer.
Task<Result<StreamPtr>> connect_tunnel(Client& client, std::string subject, std::string target,
                                       Duration timeout, TunnelOptions options = TunnelOptions());

}  // namespace candela::bus
