#include "loop/uv_loop.h"

#include <uv.h>

#include <array>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "base/check.h"
#include "loop/thread_pool.h"
#include "loop/uv_stream.h"

namespace candela {

struct UvLoop::Impl {
    explicit Impl(UvLoop& owner, InProcessHub& in_process_hub)
        : hub(in_process_hub), timers(owner), random(system_seeded_random()) {}

    InProcessHub& hub;
    uv_loop_t loop{};
    uv_async_t wake{};
    uv_timer_t timer{};
    uv_prepare_t prepare{};
    Timers timers;
    SeededRandom random;
    std::vector<Callback> deferred;
    std::mutex mutex;
    std::vector<Callback> posted;  // under mutex
    bool stopping = false;         // under mutex
    std::vector<Callback> posted_before;
    bool watched = false;  // run_until() asks its condition after each round
    std::unique_ptr<char[]> read_buffer = std::make_unique<char[]>(kReadBufferSize);

    // Work that another thread does for this loop.
    struct Job {
        Callback work;
        Callback done;
    };
    size_t jobs = 0;                          // whose `done` has not been called
    std::vector<std::unique_ptr<Job>> ended;  // under mutex
    std::condition_variable has_ended;

    void offload(Callback work, Callback done, bool is_slow);
    void run_ended();
    void wait_for_jobs();
    void run_posted();
    void run_deferred();
    void arm_timer();
};

// Deferred work may defer more. A few rounds are run at once; what keeps coming waits for the next
// turn of the loop, so that two chatting in-process peers can't keep sockets from being served.
void UvLoop::Impl::run_deferred() {
    constexpr int kRoundsMax = 16;
    // What deferred work changed must be looked at before the loop waits.
    if (watched && !deferred.empty()) uv_async_send(&wake);
    for (int round = 0; round < kRoundsMax && !deferred.empty(); ++round) {
        std::vector<Callback> batch;
        batch.swap(deferred);
        for (Callback& callback : batch) callback();
        if (deferred.empty()) {  // keep the storage
            batch.clear();
            deferred.swap(batch);
        }
    }
    if (!deferred.empty()) uv_async_send(&wake);
}

// All that the work owns is destroyed on this loop's thread.
void UvLoop::Impl::offload(Callback work, Callback done, bool is_slow) {
    auto job = std::make_unique<Job>(std::move(work), std::move(done));
    ++jobs;
    const auto kind = is_slow ? ThreadPool::Kind::kSlow : ThreadPool::Kind::kQuick;
    ThreadPool::shared().run(
        [this, job = std::move(job)]() mutable {
            job->work();
            // Under the mutex, since the loop may be gone as soon as it is known that this has
            // ended.
            const std::lock_guard lock(mutex);
            if (ended.empty()) uv_async_send(&wake);
            ended.push_back(std::move(job));
            has_ended.notify_one();
        },
        kind);
}

void UvLoop::Impl::run_ended() {
    std::vector<std::unique_ptr<Job>> batch;
    {
        const std::lock_guard lock(mutex);
        batch.swap(ended);
    }
    jobs -= batch.size();
    for (const std::unique_ptr<Job>& job : batch) job->done();
}

void UvLoop::Impl::wait_for_jobs() {
    while (jobs > 0) {
        {
            std::unique_lock lock(mutex);
            has_ended.wait(lock, [this] { return !ended.empty(); });
        }
        run_ended();
    }
}

void UvLoop::Impl::run_posted() {
    run_ended();
    std::vector<Callback> batch = std::move(posted_before);
    bool stop = false;
    {
        const std::lock_guard lock(mutex);
        batch.swap(posted);
        stop = stopping;
    }
    for (Callback& callback : batch) callback();
    batch.clear();
    posted_before = std::move(batch);  // keep the storage
    if (stop) uv_stop(&loop);
}

void UvLoop::Impl::arm_timer() {
    const auto deadline = timers.next_deadline();
    if (!deadline) {
        uv_timer_stop(&timer);
        return;
    }
    // libuv counts milliseconds from its own now; never early, so round up.
    const auto now_ms = static_cast<int64_t>(uv_now(&loop));
    const auto due_ms =
        std::chrono::ceil<std::chrono::milliseconds>(deadline->time_since_epoch()).count();
    const auto delay_ms = static_cast<uint64_t>(std::max<int64_t>(0, due_ms - now_ms));
    uv_timer_start(
        &timer, [](uv_timer_t* handle) { static_cast<Impl*>(handle->data)->timers.run_due(); },
        delay_ms, 0);
}

UvLoop::UvLoop(InProcessHub& hub, ListenerBook* book)
    : book_(book), impl_(std::make_unique<Impl>(*this, hub)) {
    Impl& impl = *impl_;
    CANDELA_CHECK(uv_loop_init(&impl.loop) == 0);
    impl.loop.data = this;
    CANDELA_CHECK(uv_async_init(&impl.loop, &impl.wake, [](uv_async_t* handle) {
                      static_cast<Impl*>(handle->data)->run_posted();
                  }) == 0);
    impl.wake.data = &impl;
    uv_timer_init(&impl.loop, &impl.timer);
    impl.timer.data = &impl;
    uv_prepare_init(&impl.loop, &impl.prepare);
    impl.prepare.data = &impl;
    uv_prepare_start(&impl.prepare, [](uv_prepare_t* handle) {
        Impl* self = static_cast<Impl*>(handle->data);
        self->run_deferred();
        self->arm_timer();
    });
}

UvLoop::~UvLoop() {
    Impl& impl = *impl_;
    // Callbacks that never ran may own streams, and begin work when they are destroyed; both go
    // before the loop does.
    for (int round = 0; round < 64; ++round) {
        impl.wait_for_jobs();
        std::vector<Callback> posted;
        {
            const std::lock_guard lock(impl.mutex);
            posted.swap(impl.posted);
        }
        std::vector<Callback> deferred;
        deferred.swap(impl.deferred);
        if (posted.empty() && deferred.empty()) break;
    }
    impl.wait_for_jobs();
    uv_close(reinterpret_cast<uv_handle_t*>(&impl.wake), nullptr);
    uv_close(reinterpret_cast<uv_handle_t*>(&impl.timer), nullptr);
    uv_close(reinterpret_cast<uv_handle_t*>(&impl.prepare), nullptr);
    uv_run(&impl.loop, UV_RUN_DEFAULT);
    CANDELA_CHECK(uv_loop_close(&impl.loop) == 0);
}

void UvLoop::run() {
    {
        const std::lock_guard lock(impl_->mutex);
        if (impl_->stopping) {
            impl_->stopping = false;
            return;
        }
    }
    uv_run(&impl_->loop, UV_RUN_DEFAULT);
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = false;
}

void UvLoop::stop() {
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->stopping = true;
    }
    uv_async_send(&impl_->wake);
}

bool UvLoop::run_until(const std::function<bool()>& condition, Duration limit) {
    uv_update_time(&impl_->loop);
    bool expired = false;
    Timer timer(impl_->timers, [&expired] { expired = true; });
    timer.start(limit);
    impl_->watched = true;
    bool met = condition();
    while (!met && !expired) {
        uv_run(&impl_->loop, UV_RUN_ONCE);
        met = condition();
    }
    impl_->watched = false;
    return met;
}

MonoTime UvLoop::now() const { return MonoTime(std::chrono::milliseconds(uv_now(&impl_->loop))); }

WallTime UvLoop::wall() const { return std::chrono::system_clock::now(); }

Timers& UvLoop::timers() { return impl_->timers; }
Random& UvLoop::random() { return impl_->random; }
uv_loop_s* UvLoop::uv() { return &impl_->loop; }
char* UvLoop::read_buffer() { return impl_->read_buffer.get(); }

void UvLoop::post(Callback callback) {
    bool first = false;
    {
        const std::lock_guard lock(impl_->mutex);
        first = impl_->posted.empty();
        impl_->posted.push_back(std::move(callback));
    }
    if (first) uv_async_send(&impl_->wake);
}

void UvLoop::defer(Callback callback) { impl_->deferred.push_back(std::move(callback)); }

void UvLoop::offload(Callback work, Callback done) {
    impl_->offload(std::move(work), std::move(done), false);
}

void UvLoop::offload_slow(Callback work, Callback done) {
    impl_->offload(std::move(work), std::move(done), true);
}

Result<std::unique_ptr<Listener>> UvLoop::listen(const Address& address,
                                                 const ListenOptions& options,
                                                 AcceptHandler on_accept) {
    if (address.kind == Address::Kind::kInProcess) {
        return impl_->hub.listen(*this, address.host, std::move(on_accept));
    }
    return uv_listen_on(*this, address, options, std::move(on_accept));
}

std::unique_ptr<ConnectAttempt> UvLoop::connect(const Address& address, ConnectHandler on_connect) {
    if (address.kind == Address::Kind::kInProcess) {
        return impl_->hub.connect(*this, address.host, std::move(on_connect));
    }
    return uv_connect_to(*this, address, std::move(on_connect));
}

}  // namespace candela
