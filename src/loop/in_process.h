#pragma once

// Streams between loops of one process, without a socket. A hub maps names ("bus") to whoever
// listens; connecting makes a pair of streams, one on each loop, that behave as a socket pair does:
// ordered, with backpressure, half-close and reset. The hub may be used from any thread and
// outlives the loops.

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "loop/loop.h"

namespace candela {

class InProcessHub {
public:
    Result<std::unique_ptr<Listener>> listen(Loop& loop, const std::string& name,
                                             Loop::AcceptHandler on_accept);
    std::unique_ptr<ConnectAttempt> connect(Loop& loop, const std::string& name,
                                            Loop::ConnectHandler on_connect);

private:
    class HubListener;
    struct Entry {
        Loop* loop;
        std::weak_ptr<Loop::AcceptHandler> on_accept;  // called on its loop only
    };
    std::mutex mutex_;
    std::map<std::string, Entry> entries_;  // under mutex_
};

// How one end hands work to the other end's loop. In order, and later: never from within the call.
class DuplexLink {
public:
    virtual ~DuplexLink() = default;
    virtual void deliver(Loop& to, Loop::Callback callback) = 0;
};

// Two connected streams, each for its own loop. The link is shared by both ends.
std::pair<StreamPtr, StreamPtr> make_duplex(Loop& first, Loop& second,
                                            std::shared_ptr<DuplexLink> link,
                                            std::string_view name);

}  // namespace candela
