// What candela relies on from the compiler's coroutines: objects on a flow's stack are destroyed
// exactly once, whether it ends or is cancelled, in the statement shapes that docs/architecture.md
// allows.

#include <string>

#include <catch2/catch_test_macros.hpp>

#include "base/result.h"
#include "loop/flow.h"
#include "loop/sim_loop.h"

namespace candela {
namespace {

struct Counted {
    static inline int alive = 0;
    explicit Counted(int v) : value(v) { ++alive; }
    Counted(const Counted& other) : value(other.value) { ++alive; }
    Counted(Counted&& other) noexcept : value(other.value) { ++alive; }
    Counted& operator=(const Counted&) = default;
    ~Counted() { --alive; }
    int value;
};

struct World {
    SimWorld world{1};
    SimLoop& loop = world.add_loop("one");
};

Task<Result<Counted>> make(Loop& loop, int value) {
    co_await sleep_for(loop, 1ms);
    if (value < 0) co_return fail(Code::kInvalid, "negative");
    co_return Counted(value);
}

Task<Result<int>> sum(Loop& loop, int a, int b) {
    CO_TRY_ASSIGN(const Counted first, co_await make(loop, a));
    CO_TRY_ASSIGN(const Counted second, co_await make(loop, b));
    co_return first.value + second.value;
}

template <class F>
Task<int> call_later(Loop& loop, F function) {
    co_await sleep_for(loop, 1ms);
    co_return function();
}

Task<int> named_closure(Loop& loop) {
    const Counted held(7);
    auto function = [held] { return held.value; };
    co_return co_await call_later(loop, std::move(function));
}

Task<void> store(Task<Result<int>> task, int& out) {
    auto result = co_await std::move(task);
    out = result ? *result : -1;
}

TEST_CASE_METHOD(World, "flows_destroy_what_they_hold_once") {
    int out = 0;
    TaskGroup group;
    group.spawn(store(sum(loop, 1, 2), out));
    world.run_for(10ms);
    CHECK(out == 3);
    CHECK(group.size() == 0);
    group.spawn(store(sum(loop, 1, -2), out));
    world.run_for(10ms);
    CHECK(out == -1);
    CHECK(Counted::alive == 0);
}

TEST_CASE_METHOD(World, "a_cancelled_flow_destroys_what_it_holds_where_it_stands") {
    int out = 0;
    {
        TaskGroup group;
        group.spawn(store(sum(loop, 1, 2), out));
        world.run_until([] { return Counted::alive > 0; }, 1s);
        CHECK(Counted::alive > 0);
    }
    CHECK(Counted::alive == 0);
    world.run_for(1s);
    CHECK(out == 0);
}

TEST_CASE_METHOD(World, "a_named_closure_survives_its_await") {
    int out = 0;
    TaskGroup group;
    auto run = [](Loop& l, int& result) -> Task<void> { result = co_await named_closure(l); };
    group.spawn(run(loop, out));
    world.run_for(10ms);
    CHECK(out == 7);
    CHECK(Counted::alive == 0);
}

Task<int> one() { co_return 1; }
Task<void> many(long count, long& total) {
    for (long i = 0; i < count; ++i) total += co_await one();
}

TEST_CASE("awaits_that_complete_at_once_use_no_stack") {
    long total = 0;
    TaskGroup group;
    group.spawn(many(1'000'000, total));
    CHECK(total == 1'000'000);
}

}  // namespace
}  // namespace candela
