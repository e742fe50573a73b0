#pragma once

// An event loop: time, timers, deferred work and streams of one thread. Everything that lives on a
// loop is touched from its thread only; post() is the one way in from others. UvLoop (uv_loop.h) is
// the real one; SimLoop (sim_loop.h) runs a whole cluster in one thread on virtual time.

#include <functional>
#include <memory>

#include "base/random.h"
#include "base/result.h"
#include "loop/clock.h"
#include "loop/stream.h"
#include "loop/timers.h"

struct uv_loop_s;

namespace candela {

struct ListenOptions {
    bool reuse_port = false;    // several loops accept on one port; the kernel spreads connections
    unsigned unix_mode = 0600;  // permissions of a unix socket's file
    int backlog = 1024;
};

class Loop : public Clock {
public:
    using Callback = std::move_only_function<void()>;
    using AcceptHandler = std::move_only_function<void(StreamPtr)>;
    using ConnectHandler = std::move_only_function<void(Result<StreamPtr>)>;

    virtual Timers& timers() = 0;
    virtual Random& random() = 0;

    // Runs the callback on this loop's thread soon. Any thread may call it; order is kept per
    // caller.
    virtual void post(Callback callback) = 0;
    // Runs the callback before this loop waits for events again. This loop's thread only.
    virtual void defer(Callback callback) = 0;
    // Runs `work` on a pool thread (blocking calls belong there), then `done` on this loop.
    virtual void offload(Callback work, Callback done) = 0;

    virtual Result<std::unique_ptr<Listener>> listen(const Address& address,
                                                     const ListenOptions& options,
                                                     AcceptHandler on_accept) = 0;
    // Resolves and connects, trying each address. There is no timeout: set a Timer, destroy the
    // attempt. The handler is called later, never from within connect(), and may destroy the
    // attempt.
    [[nodiscard]] virtual std::unique_ptr<ConnectAttempt> connect(const Address& address,
                                                                  ConnectHandler on_connect) = 0;

    // The libuv loop for src/loop's own use; null where there is none (simulation).
    virtual uv_loop_s* uv() { return nullptr; }
};

}  // namespace candela
