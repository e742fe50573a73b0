#include "loop/timers.h"

#include <memory>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "base/random.h"
#include "loop/clock.h"

namespace candela {
namespace {

class ManualClock final : public Clock {
public:
    MonoTime now() const override { return MonoTime(time); }
    WallTime wall() const override { return WallTime(time); }
    Duration time{0};
};

struct TimersFixture {
    ManualClock clock;
    Timers timers{clock};
    void advance(Duration by) {
        clock.time += by;
        timers.run_due();
    }
};

TEST_CASE_METHOD(TimersFixture, "timers_fire_in_order_of_their_deadlines") {
    std::vector<int> fired;
    Timer late(timers, [&] { fired.push_back(2); });
    Timer early(timers, [&] { fired.push_back(1); });
    late.start(20ms);
    early.start(10ms);
    advance(30ms);
    CHECK(fired == std::vector<int>{1, 2});
    CHECK_FALSE(timers.next_deadline().has_value());
}

TEST_CASE_METHOD(TimersFixture, "a_timer_pushed_back_fires_once_at_its_new_deadline") {
    int fired = 0;
    Timer timer(timers, [&] { ++fired; });
    timer.start(10ms);
    timer.start(50ms);
    advance(20ms);
    CHECK(fired == 0);
    advance(31ms);
    CHECK(fired == 1);
}

TEST_CASE_METHOD(TimersFixture, "a_timer_with_a_leeway_fires_with_others_and_at_its_end_alone") {
    std::vector<int> fired;
    Timer patient(timers, [&] { fired.push_back(1); });
    Timer exact(timers, [&] { fired.push_back(2); });
    patient.start(10ms, 20ms);
    CHECK(timers.next_deadline() == MonoTime(30ms));
    exact.start(5ms);
    advance(5ms);  // too early for the patient one
    CHECK(fired == std::vector<int>{2});
    exact.start(10ms);
    advance(10ms);
    CHECK(fired == std::vector<int>{2, 2, 1});

    patient.start(10ms, 20ms);
    advance(29ms);
    advance(1ms);
    CHECK(fired.size() == 4);
    CHECK_FALSE(timers.next_deadline().has_value());
}

TEST_CASE_METHOD(TimersFixture, "a_timer_moves_between_leeway_and_none") {
    int fired = 0;
    Timer timer(timers, [&] { ++fired; });
    timer.start(10ms, 100ms);
    timer.start(20ms);
    CHECK(timers.next_deadline() == MonoTime(20ms));
    timer.start(20ms, 30ms);
    CHECK(timers.next_deadline() == MonoTime(50ms));
    timer.start(20ms, 40ms);  // pushed back where it is
    advance(55ms);
    CHECK(fired == 1);
    timer.start(1ms, 1ms);
    timer.stop();
    CHECK_FALSE(timers.next_deadline().has_value());
    advance(55ms);
    CHECK(fired == 1);
}

TEST_CASE_METHOD(TimersFixture, "those_with_a_leeway_do_not_fire_early_in_one_burst") {
    int fired = 0;
    std::vector<std::unique_ptr<Timer>> many;
    for (int i = 0; i < 100; ++i) {
        many.push_back(std::make_unique<Timer>(timers, [&] { ++fired; }));
        many.back()->start(10ms, 20ms + i * 1ms);
    }
    advance(10ms);
    CHECK(fired == 32);
    advance(119ms);  // the last must by now
    CHECK(fired == 100);
}

TEST_CASE_METHOD(TimersFixture, "a_timer_pulled_forward_fires_early") {
    int fired = 0;
    Timer timer(timers, [&] { ++fired; });
    timer.start(50ms);
    timer.start(10ms);
    advance(10ms);
    CHECK(fired == 1);
}

TEST_CASE_METHOD(TimersFixture, "a_callback_may_destroy_its_own_timer") {
    auto timer = std::unique_ptr<Timer>();
    timer = std::make_unique<Timer>(timers, [&] { timer.reset(); });
    timer->start(1ms);
    advance(1ms);
    CHECK(timer == nullptr);
}

TEST_CASE_METHOD(TimersFixture, "a_callback_may_start_its_own_timer_again") {
    int fired = 0;
    std::unique_ptr<Timer> timer;
    timer = std::make_unique<Timer>(timers, [&] {
        if (++fired < 3) timer->start(1ms);
    });
    timer->start(1ms);
    for (int i = 0; i < 5; ++i) advance(1ms);
    CHECK(fired == 3);
}

TEST_CASE_METHOD(TimersFixture, "a_stopped_timer_never_fires") {
    int fired = 0;
    Timer timer(timers, [&] { ++fired; });
    timer.start(5ms);
    timer.stop();
    advance(10ms);
    CHECK(fired == 0);
}

TEST_CASE_METHOD(TimersFixture, "many_timers_started_moved_and_stopped_fire_when_they_should") {
    const uint64_t seed = 20261121;
    INFO("seed " << seed);
    SeededRandom random(seed);
    struct Entry {
        std::unique_ptr<Timer> timer;
        Duration expected{-1};
        Duration fired{-1};
    };
    std::vector<Entry> entries(200);
    for (Entry& entry : entries) {
        entry.timer = std::make_unique<Timer>(timers, [&entry, this] { entry.fired = clock.time; });
    }
    for (int step = 0; step < 5000; ++step) {
        Entry& entry = entries[random.below(entries.size())];
        if (random.below(4) == 0) {
            entry.timer->stop();
            entry.expected = entry.fired = Duration(-1);
        } else {
            const Duration delay(static_cast<int64_t>(random.below(100)) * 1'000'000);
            entry.timer->start(delay);
            entry.expected = clock.time + delay;
            entry.fired = Duration(-1);
        }
        if (random.below(10) == 0) {
            advance(1ms);
            for (Entry& each : entries) {
                const bool due = each.expected >= Duration(0) && each.expected <= clock.time;
                REQUIRE((each.fired >= Duration(0)) == due);
            }
        }
    }
}

}  // namespace
}  // namespace candela
