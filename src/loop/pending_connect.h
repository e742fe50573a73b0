#pragma once

// A connect that is under way between two loops of this process: shared by the attempt that the
// caller holds, whose end cancels it, and by the calls that travel between the loops. The handler
// is touched on the connecting loop alone. For the .cc files of this folder.

#include <memory>
#include <utility>

#include "loop/loop.h"

namespace candela {

class PendingConnect final {
public:
    explicit PendingConnect(Loop::ConnectHandler on_connect) : on_connect_(std::move(on_connect)) {}

    // Calls the handler once; does nothing after cancel().
    void finish(Result<StreamPtr> result) {
        Loop::ConnectHandler handler = std::exchange(on_connect_, nullptr);
        if (handler) handler(std::move(result));
    }
    void cancel() { on_connect_ = nullptr; }

private:
    Loop::ConnectHandler on_connect_;
};

class PendingAttempt final : public ConnectAttempt {
public:
    explicit PendingAttempt(std::shared_ptr<PendingConnect> pending)
        : pending_(std::move(pending)) {}
    ~PendingAttempt() override { pending_->cancel(); }

private:
    std::shared_ptr<PendingConnect> pending_;
};

}  // namespace candela
