#pragma once

// Account JWTs on disk, DIR/bus/accounts/<key>.jwt, so that a bus that starts while the lighthouse
// is away knows every space. Writes run on the pool, one after the other, in order. Control loop.

#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "loop/loop.h"

namespace candela::bus_role {

// The JWTs in a folder: every *.jwt file. A folder that is not there has none. Blocking.
Result<std::vector<std::string>> read_jwts(const std::filesystem::path& folder);

class AccountStore {
public:
    using Done = std::function<void(Result<>)>;

    AccountStore(Loop& loop, std::filesystem::path folder);
    ~AccountStore();

    // `done` runs on the loop once it is on disk, unless the store is gone by then; what was asked
    // for is written all the same.
    void put(std::string account_key, std::string jwt, Done done);
    void remove(std::string account_key, Done done);

private:
    struct Job {
        std::filesystem::path file;
        std::string jwt;  // empty: remove
        Done done;
    };
    struct State {
        std::deque<Job> jobs;
        bool is_running = false;
        bool is_gone = false;
    };
    static void run_next(Loop& loop, const std::shared_ptr<State>& state);

    Loop& loop_;
    std::filesystem::path folder_;
    std::shared_ptr<State> state_;
};

}  // namespace candela::bus_role
