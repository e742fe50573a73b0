#pragma once

// A SQL database on a thread of its own, so that no loop waits for a disk. Work runs there in the
// order in which it was given, one piece at a time; its result comes back on the loop. Lives on its
// loop.
//
//     auto work = [name](store::Connection& db) { return db.execute("DELETE …", {name}); };
//     auto gone = co_await database->run(std::move(work));
//
// Name the callable first (g++ 12, loop/task.h). What it captures must be its own: when the flow is
// cancelled the work still runs to its end. Destroying the database waits for the piece that runs
// and drops those that have not begun.

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "loop/flow.h"
#include "store/connection.h"

namespace candela::store {

// One step of a schema: versions begin at 1 and have no gaps. What has landed never changes.
struct Migration {
    int version;
    std::string_view sql;
};

class Database {
public:
    static constexpr size_t kQueueMax = 4096;

    // Opens "sqlite:PATH" (or a bare path), checks it, and brings its schema up to the last
    // migration. kCorrupt where the file is damaged beyond an index; kUnsupported where a newer
    // candela made it or the kind of DSN is not built in; kConflict where another process has it
    // open. `migrations` lives as long as the program.
    static Task<Result<std::unique_ptr<Database>>> open(Loop& loop, std::string dsn,
                                                        std::span<const Migration> migrations);

    explicit Database(Loop& loop);
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;
    ~Database();

    // `work` is Result<T>(Connection&). kExhausted where kQueueMax pieces wait already.
    template <class Work, class R = std::invoke_result_t<Work&, Connection&>>
    Task<R> run(Work work) {
        struct State {
            explicit State(Work w) : work(std::move(w)) {}
            Work work;
            std::optional<R> result;
            Completion<Done>* waiting = nullptr;  // null once the flow is gone
        };
        struct Detach {
            std::shared_ptr<State> state;
            explicit Detach(std::shared_ptr<State> s) : state(std::move(s)) {}
            ~Detach() { state->waiting = nullptr; }
        };
        Completion<Done> done;
        auto state = std::make_shared<State>(std::move(work));
        state->waiting = &done;
        Detach detach(state);
        auto job = [state, loop = &loop_](Connection& connection) {
            state->result.emplace(state->work(connection));
            loop->post([state] {
                if (state->waiting != nullptr) state->waiting->complete(Done());
            });
        };
        if (!enqueue(std::move(job))) {
            co_return fail(Code::kExhausted, "the database has {} pieces of work waiting",
                           kQueueMax);
        }
        co_await done;
        co_return std::move(*state->result);
    }

private:
    using Job = std::move_only_function<void(Connection&)>;
    bool enqueue(Job job);
    void serve();

    Loop& loop_;
    std::unique_ptr<Connection> connection_;  // touched by the thread only, once it runs
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Job> queue_;  // guarded by mutex_
    bool stopping_ = false;  // guarded by mutex_
    std::thread thread_;
};

// Brings the schema up to the last migration, each in a transaction of its own.
Result<> migrate(Connection& connection, std::span<const Migration> migrations);

}  // namespace candela::store
