#pragma once

// Brings accepted streams to where the bus's protocol begins, as their entrance says: TLS before
// INFO, a WebSocket's opening, or nothing at all. Bounded in number and time. One a loop.

#include <functional>

#include "base/log.h"
#include "entrance.h"
#include "loop/flow.h"
#include "loop/stream.h"

namespace candela::http {
class WebSocketStream;
}

namespace candela::bus_role {

// A client that is ready for INFO.
struct Guest {
    StreamPtr stream;  // not yet started
    EntrancePtr entrance;
    http::WebSocketStream* websocket = nullptr;  // the stream, where it is one
};

class Reception {
public:
    using OnGuest = std::move_only_function<void(Guest)>;
    static constexpr size_t kWaitingMax = 1024;  // at a time; one more is closed at once

    // `on_guest` is called from within receive(), or later.
    Reception(Logger log, OnGuest on_guest)
        : log_(std::move(log)), on_guest_(std::move(on_guest)) {}

    void receive(StreamPtr stream, const EntrancePtr& entrance);
    size_t waiting() const { return waiting_.size(); }
    // Cuts off those that are not ready yet.
    void close() { waiting_.cancel(); }

private:
    Task<void> receive_slowly(StreamPtr stream, EntrancePtr entrance);

    Logger log_;
    OnGuest on_guest_;
    TaskGroup waiting_;
};

}  // namespace candela::bus_role
