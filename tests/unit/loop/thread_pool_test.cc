#include "loop/thread_pool.h"

#include <atomic>
#include <functional>
#include <future>
#include <latch>
#include <memory>
#include <thread>

#include <catch2/catch_test_macros.hpp>

#include "loop/uv_loop.h"

namespace candela {
namespace {

using Kind = ThreadPool::Kind;

// Its threads are detached: it outlives them.
struct Pool {
    ThreadPool pool{20ms};
    ~Pool() {
        while (pool.thread_count() > 0) std::this_thread::yield();
    }
};

TEST_CASE_METHOD(Pool, "threads_of_a_pool_begin_with_work_and_end_without") {
    CHECK(pool.thread_count() == 0);
    for (int round = 0; round < 2; ++round) {
        std::promise<size_t> counted;
        pool.run([&] { counted.set_value(pool.thread_count()); });
        CHECK(counted.get_future().get() == 1);
        while (pool.thread_count() > 0) std::this_thread::yield();
    }
}

TEST_CASE_METHOD(Pool, "a_pool_does_at_most_so_much_at_once_and_all_of_it") {
    std::latch all_busy(ThreadPool::kThreadsMax);
    std::promise<void> may_end;
    const std::shared_future<void> end = may_end.get_future();
    std::atomic<size_t> running = 0;
    std::atomic<size_t> most = 0;
    constexpr size_t kWorks = 100;
    std::latch finished(kWorks);
    for (size_t i = 0; i < kWorks; ++i) {
        pool.run([&, i] {
            const size_t now = ++running;
            size_t before = most;
            while (before < now && !most.compare_exchange_weak(before, now)) {
            }
            if (i < ThreadPool::kThreadsMax) {
                all_busy.count_down();
                end.wait();
            }
            --running;
            finished.count_down();
        });
    }
    all_busy.wait();
    CHECK(pool.thread_count() == ThreadPool::kThreadsMax);
    may_end.set_value();
    finished.wait();
    CHECK(most == ThreadPool::kThreadsMax);
}

TEST_CASE_METHOD(Pool, "what_is_slow_leaves_threads_for_what_is_quick") {
    std::promise<void> may_end;
    const std::shared_future<void> end = may_end.get_future();
    std::atomic<size_t> slow = 0;
    std::latch all_slow(10);
    for (int i = 0; i < 10; ++i) {
        pool.run(
            [&] {
                ++slow;
                end.wait();
                all_slow.count_down();
            },
            Kind::kSlow);
    }
    std::promise<void> quick;
    pool.run([&] { quick.set_value(); });
    quick.get_future().wait();
    CHECK(slow <= ThreadPool::kSlowMax);
    may_end.set_value();
    all_slow.wait();
    CHECK(slow == 10);
}

TEST_CASE("a_loop_that_goes_waits_for_its_work_and_for_what_its_callbacks_begin") {
    InProcessHub hub;
    auto loop = std::make_unique<UvLoop>(hub);
    std::atomic<int> worked = 0;
    int done = 0;
    const auto begin = [&, at = loop.get()] { at->offload([&] { ++worked; }, [&] { ++done; }); };
    struct Last {
        std::function<void()> begin;
        ~Last() { begin(); }
    };
    begin();
    loop->defer([last = std::make_unique<Last>(begin)] {});
    loop.reset();
    CHECK(worked == 2);
    CHECK(done == 2);
}

}  // namespace
}  // namespace candela
