#pragma once

// The real event loop, on libuv. One a thread; construct it anywhere, run() it on its thread,
// destroy it after run() has returned and everything that lived on it is gone.

#include <memory>

#include "loop/in_process.h"
#include "loop/loop.h"

namespace candela {

class ListenerBook;

class UvLoop final : public Loop {
public:
    // Listeners note themselves in the book where there is one; it outlives the loop.
    explicit UvLoop(InProcessHub& hub, ListenerBook* book = nullptr);
    ~UvLoop() override;
    UvLoop(const UvLoop&) = delete;
    UvLoop& operator=(const UvLoop&) = delete;

    // Runs events until stop(). May be called again.
    void run();
    // Makes run() return soon. Any thread.
    void stop();
    // Runs events until the condition holds (asked after each round); false when the limit, in real
    // time, came first. For command lines and tests.
    bool run_until(const std::function<bool()>& condition, Duration limit);

    MonoTime now() const override;
    WallTime wall() const override;
    Timers& timers() override;
    Random& random() override;
    void post(Callback callback) override;
    void defer(Callback callback) override;
    void offload(Callback work, Callback done) override;
    // What waits for others that may never answer: only some of the threads may be taken by it.
    void offload_slow(Callback work, Callback done);
    Result<std::unique_ptr<Listener>> listen(const Address& address, const ListenOptions& options,
                                             AcceptHandler on_accept) override;
    std::unique_ptr<ConnectAttempt> connect(const Address& address,
                                            ConnectHandler on_connect) override;
    uv_loop_s* uv() override;
    ListenerBook* listener_book() const { return book_; }

    // Where every stream of this loop reads into; what is there is consumed before the next read.
    static constexpr size_t kReadBufferSize = 64 * 1024;
    char* read_buffer();

private:
    struct Impl;
    ListenerBook* const book_;
    std::unique_ptr<Impl> impl_;
};

}  // namespace candela
