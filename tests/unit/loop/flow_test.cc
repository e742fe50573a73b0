#include "loop/flow.h"

#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "loop/in_process.h"
#include "loop/sim_loop.h"
#include "loop/uv_loop.h"

namespace candela {
namespace {

struct World {
    SimWorld world{7};
    SimLoop& loop = world.add_loop("one");
};

Task<Result<int>> answer_after(Loop& loop, Duration delay) {
    co_await sleep_for(loop, delay);
    co_return 42;
}

Task<void> ask(Loop& loop, Duration delay, Result<int>& out) {
    auto task = answer_after(loop, delay);
    out = co_await with_timeout(loop, 100ms, "asking", std::move(task));
}

TEST_CASE_METHOD(World, "with_timeout_gives_the_result_or_says_what_took_too_long") {
    Result<int> quick = 0;
    Result<int> slow = 0;
    TaskGroup group;
    group.spawn(ask(loop, 10ms, quick));
    group.spawn(ask(loop, 10s, slow));
    world.run_for(1s);
    REQUIRE(quick.has_value());
    CHECK(*quick == 42);
    REQUIRE_FALSE(slow.has_value());
    CHECK(slow.error().code() == Code::kTimeout);
    CHECK(slow.error().message() == "asking: no answer within 100ms");
    CHECK(group.size() == 0);
}

Task<void> hold(Loop& loop, AsyncMutex& mutex, int id, std::vector<int>& order) {
    const auto guard = co_await mutex.lock();
    order.push_back(id);
    co_await sleep_for(loop, 5ms);
    order.push_back(id);
}

TEST_CASE_METHOD(World, "async_mutex_admits_one_at_a_time_in_order_and_forgets_the_cancelled") {
    AsyncMutex mutex;
    std::vector<int> order;
    TaskGroup first;
    TaskGroup cancelled;
    TaskGroup third;
    first.spawn(hold(loop, mutex, 1, order));
    cancelled.spawn(hold(loop, mutex, 2, order));
    third.spawn(hold(loop, mutex, 3, order));
    cancelled.cancel();
    world.run_for(1s);
    CHECK(order == std::vector<int>{1, 1, 3, 3});
}

Task<void> wait_for(Event& event, int& woken) {
    co_await event.wait();
    ++woken;
}

TEST_CASE_METHOD(World, "event_wakes_all_that_wait_and_forgets_the_cancelled") {
    Event event;
    int woken = 0;
    TaskGroup group;
    TaskGroup cancelled;
    group.spawn(wait_for(event, woken));
    group.spawn(wait_for(event, woken));
    cancelled.spawn(wait_for(event, woken));
    cancelled.cancel();
    event.set();
    CHECK(woken == 2);
    group.spawn(wait_for(event, woken));
    CHECK(woken == 3);
}

TEST_CASE("offload_runs_on_the_pool_and_survives_cancellation") {
    InProcessHub hub;
    UvLoop loop(hub);
    std::string out;
    auto flow = [](Loop& l, std::string& result) -> Task<void> {
        auto work = [] { return std::string("from the pool, a string that is not short"); };
        result = co_await offload(l, std::move(work));
    };
    TaskGroup group;
    group.spawn(flow(loop, out));
    CHECK(loop.run_until([&] { return !out.empty(); }, 10s));
    {
        TaskGroup cancelled;
        cancelled.spawn(flow(loop, out));
    }
}

}  // namespace
}  // namespace candela
