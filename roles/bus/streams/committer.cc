#include "committer.h"

#include <utility>

namespace candela::bus_role {

namespace {
constexpr size_t kBatchBytesMax = 8 * 1024 * 1024;
}

Committer::Committer(Loop& loop, Wal& wal, CommitObserver& observer, Duration sync_interval,
                     bool has_thread)
    : loop_(loop),
      wal_(wal),
      observer_(observer),
      has_thread_(has_thread),
      sync_interval_(sync_interval),
      sync_timer_(loop.timers(), [this] {
          gathering_.syncs = true;
          schedule();
      }) {
    if (has_thread_) thread_ = std::thread([this] { run(); });
}

Committer::~Committer() {
    *alive_ = false;
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_one();
    if (thread_.joinable()) thread_.join();
}

void Committer::submit(RecordPtr record, bool syncs) {
    gathering_.records.push_back(std::move(record));
    if (syncs) {
        gathering_.syncs = true;
    } else if (!sync_timer_.is_active()) {
        sync_timer_.start(sync_interval_);
    }
    schedule();
}

void Committer::roll() {
    gathering_.roll = true;
    schedule();
    // What comes later belongs behind the new file's beginning.
    hand_over();
}

void Committer::schedule() {
    if (scheduled_) return;
    scheduled_ = true;
    loop_.defer([this, alive = alive_] {
        if (!*alive) return;
        scheduled_ = false;
        hand_over();
    });
}

void Committer::hand_over() {
    if (gathering_.empty()) return;
    if (broken_) {
        fail_all(Error(Code::kIo, "the log failed earlier; restart the node"));
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        if (waiting_.empty() || waiting_.back().roll) waiting_.emplace_back();
        Work& last = waiting_.back();
        last.roll = gathering_.roll;
        last.syncs = last.syncs || gathering_.syncs;
        if (last.records.empty()) {
            last.records.swap(gathering_.records);
        } else {
            for (RecordPtr& record : gathering_.records) last.records.push_back(std::move(record));
        }
        gathering_.records.clear();
        gathering_.syncs = gathering_.roll = false;
    }
    if (has_thread_) {
        changed_.notify_one();
    } else {
        work_simulated();
    }
}

void Committer::run() {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [this] { return stopping_ || (!waiting_.empty() && !rejecting_); });
        if (stopping_) break;
        const Work work = take_waiting();
        lock.unlock();
        run_once(work);
        lock.lock();
    }
    // Nobody is told any more; a failure loses what an interval may lose.
    static_cast<void>(wal_.sync());
}

Committer::Work Committer::take_waiting() {
    Work work = std::move(waiting_.front());
    waiting_.pop_front();
    return work;
}

void Committer::work_simulated() {
    if (simulated_running_) return;
    simulated_running_ = true;
    loop_.offload(
        [this, alive = alive_] {
            if (!*alive || waiting_.empty() || rejecting_) return;
            run_once(take_waiting());
        },
        [this, alive = alive_] {
            if (!*alive) return;
            simulated_running_ = false;
            if (!waiting_.empty()) work_simulated();
        });
}

void Committer::run_once(const Work& work) {
    const std::span<const RecordPtr> all(work.records);
    size_t done = 0;
    while (done < all.size()) {
        size_t count = 0;
        for (size_t bytes = 0; done + count < all.size() && bytes < kBatchBytesMax; ++count) {
            bytes += stored_size(*all[done + count]);
        }
        const Result<> appended = wal_.append(all.subspan(done, count), work.syncs);
        if (!appended) {
            fail_from_thread(appended.error(), work.roll);
            return;
        }
        tell([this, count] { observer_.on_commit(count); });
        done += count;
    }
    if (work.syncs && all.empty()) {
        if (const Result<> synced = wal_.sync(); !synced) {
            fail_from_thread(synced.error(), work.roll);
            return;
        }
    }
    if (!work.roll) return;
    tell([this, rolled = wal_.begin_next()]() mutable {
        observer_.on_log_rolled(std::move(rolled));
    });
}

void Committer::fail_from_thread(const Error& error, bool rolls) {
    {
        const std::lock_guard lock(mutex_);
        rejecting_ = true;
    }
    tell([this, error, rolls] {
        fail_all(error);
        if (rolls) observer_.on_log_rolled(fail(error));
    });
}

void Committer::tell(Loop::Callback callback) {
    loop_.post([alive = alive_, callback = std::move(callback)]() mutable {
        if (*alive) callback();
    });
}

void Committer::fail_all(const Error& error) {
    bool rolls = gathering_.roll;
    gathering_ = Work();
    if (error.code() != Code::kExhausted) broken_ = true;
    {
        const std::lock_guard lock(mutex_);
        for (const Work& work : waiting_) rolls = rolls || work.roll;
        waiting_.clear();
        rejecting_ = false;
    }
    observer_.on_commit_failed(error);
    if (rolls) observer_.on_log_rolled(fail(error));
}

}  // namespace candela::bus_role
