#pragma once

// Group commit. Records gather on the loop while the thread writes and syncs what gathered before;
// the next batch starts as soon as the last sync has ended, without a timer. The outcome of each
// record is told on the loop, in order. Records that need no sync of their own are told of once
// they are written, and synced together after an interval, or with the next that does. Lives on the
// loop; its thread touches the log and nothing else.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "loop/loop.h"
#include "wal.h"

namespace candela::bus_role {

class CommitObserver {
public:
    // So many further records are durable (or written, where that is enough).
    virtual void on_commit(size_t count) = 0;
    // None of those that were submitted and not yet told of is kept. The committer takes records
    // again at once where the disk was full; where it failed, every later one fails too.
    virtual void on_commit_failed(const Error& error) = 0;
    // A new log file was begun behind everything told of before; `number` is the one it followed.
    virtual void on_log_rolled(Result<uint64_t> number) = 0;

protected:
    ~CommitObserver() = default;
};

class Committer {
public:
    // Without a thread (simulation) the work runs by Loop::offload.
    Committer(Loop& loop, Wal& wal, CommitObserver& observer, Duration sync_interval,
              bool has_thread);
    ~Committer();  // what was submitted is not awaited
    Committer(const Committer&) = delete;
    Committer& operator=(const Committer&) = delete;

    void submit(RecordPtr record, bool syncs);
    void roll();
    bool is_broken() const { return broken_; }

private:
    struct Work {
        std::vector<RecordPtr> records;
        bool syncs = false;
        bool roll = false;
        bool empty() const { return records.empty() && !syncs && !roll; }
    };
    void schedule();
    void hand_over();
    void run();
    void run_once(const Work& work);
    Work take_waiting();
    void work_simulated();
    void tell(Loop::Callback callback);
    void fail_all(const Error& error);
    void fail_from_thread(const Error& error, bool rolls);

    Loop& loop_;
    Wal& wal_;
    CommitObserver& observer_;
    const bool has_thread_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // the loop's

    Work gathering_;  // the loop's, until the end of its round
    bool scheduled_ = false;
    bool broken_ = false;
    bool simulated_running_ = false;
    const Duration sync_interval_;
    Timer sync_timer_;  // runs while something may be written and not synced

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Work> waiting_;  // under mutex_; only the last may lack its roll
    bool rejecting_ = false;    // under mutex_: a batch failed, and the loop does not know yet
    bool stopping_ = false;     // under mutex_
    std::thread thread_;
};

}  // namespace candela::bus_role
