#pragma once

// Runs instances as child processes, each in a session and process group of its own. Needs a
// UvLoop.

#include <list>
#include <memory>

#include "driver.h"
#include "loop/loop.h"

namespace candela::host {

class ProcessDriver final : public Driver {
public:
    explicit ProcessDriver(Loop& loop);
    ~ProcessDriver() override;
    Result<std::unique_ptr<Running>> start(const StartRequest& request,
                                           RunningHandler& handler) override;

    // Processes that have not been reaped yet, also those whose Running is gone.
    size_t process_count() const { return children_.size(); }

private:
    class Child;
    class Handle;

    void forget(Child& child);

    Loop& loop_;
    // Killed processes stay here until the kernel has told us of their end: nobody else reaps them.
    std::list<std::shared_ptr<Child>> children_;
};

}  // namespace candela::host
