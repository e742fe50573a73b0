#include "loop/flow.h"

namespace candela {

void Event::set() {
    is_set_ = true;
    // Each waiter that is woken may destroy others: take them one by one. One that waits again
    // joins at the back and is not this call's concern, or two conditions on one event would spin.
    for (size_t count = waiters_.size(); count > 0 && !waiters_.empty(); --count) {
        Waiter* waiter = waiters_.front();
        waiters_.pop_front();
        waiter->event = nullptr;
        waiter->done.complete(Done());
    }
}

Task<void> Event::wait() {
    if (is_set_) co_return;
    Waiter waiter;
    waiters_.push_back(&waiter);
    waiter.place = std::prev(waiters_.end());
    waiter.event = this;
    co_await waiter.done;
}

Task<void> sleep_for(Loop& loop, Duration duration, Duration leeway) {
    Completion<Done> done;
    Timer timer(loop.timers(), [&done] { done.complete(Done()); });
    timer.start(duration, leeway);
    co_await done;
}

Task<Result<StreamPtr>> connect(Loop& loop, Address address, Duration timeout) {
    Completion<Result<StreamPtr>> done;
    Timer timer(loop.timers(), [&] {
        done.complete(fail(Code::kTimeout, "connecting to {}: no answer within {}",
                           address.to_string(), format_duration(timeout)));
    });
    timer.start(timeout);
    const std::unique_ptr<ConnectAttempt> attempt = loop.connect(
        address, [&done](Result<StreamPtr> stream) { done.complete(std::move(stream)); });
    co_return co_await done;
}

void TaskGroup::spawn(Task<void> task) {
    empty_.reset();
    members_.push_back(Member{this, std::move(task), {}});
    const auto place = std::prev(members_.end());
    place->place = place;
    place->task.start(&TaskGroup::on_done, &*place);
}

void TaskGroup::on_done(void* context) {
    Member* member = static_cast<Member*>(context);
    TaskGroup* group = member->group;
    group->members_.erase(member->place);
    if (group->members_.empty()) group->empty_.set();
}

void TaskGroup::cancel() {
    // A flow that ends may spawn or cancel others from its destructors: take them one by one.
    while (!members_.empty()) {
        std::list<Member> last;
        last.splice(last.begin(), members_, members_.begin());
    }
    empty_.set();
}

Task<void> TaskGroup::wait_empty() {
    while (!members_.empty()) co_await empty_.wait();
}

struct AsyncMutex::Waiter {
    Completion<Done> granted;
    AsyncMutex* mutex = nullptr;  // null once granted
    std::list<Waiter*>::iterator place;
    ~Waiter() {
        if (mutex != nullptr) mutex->waiters_.erase(place);
    }
};

Task<AsyncMutex::Guard> AsyncMutex::lock() {
    if (!locked_) {
        locked_ = true;
        co_return Guard(this);
    }
    Waiter waiter;
    waiters_.push_back(&waiter);
    waiter.place = std::prev(waiters_.end());
    waiter.mutex = this;
    co_await waiter.granted;
    co_return Guard(this);
}

void AsyncMutex::unlock() {
    if (waiters_.empty()) {
        locked_ = false;
        return;
    }
    Waiter* next = waiters_.front();
    waiters_.pop_front();
    next->mutex = nullptr;
    next->granted.complete(Done());
}

}  // namespace candela
