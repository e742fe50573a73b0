#pragma once

// The loops of a process: one a thread, the first (the control loop) on the thread that calls
// run().

#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "loop/in_process.h"
#include "loop/listener_book.h"
#include "loop/uv_loop.h"

namespace candela {

class Runtime {
public:
    explicit Runtime(unsigned workers);
    ~Runtime();
    Runtime(const Runtime&) = delete;
    Runtime& operator=(const Runtime&) = delete;

    UvLoop& control() { return *loops_.front(); }
    std::span<Loop* const> loops() const { return views_; }
    InProcessHub& hub() { return hub_; }
    ListenerBook& listener_book() { return book_; }

    // Runs every loop until stop(); returns when all have stopped. What lives on the other loops
    // must be destroyed by posting to them before.
    void run();
    void stop();  // any thread

    // The cores that this process may use (its affinity mask and cgroup v2 CPU limit).
    static unsigned usable_cores();

private:
    InProcessHub hub_;
    ListenerBook book_;
    std::vector<std::unique_ptr<UvLoop>> loops_;
    std::vector<Loop*> views_;
};

}  // namespace candela
