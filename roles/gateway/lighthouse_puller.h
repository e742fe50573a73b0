#pragma once

// Asks the lighthouse again and again for what it wants served: when it nudges, when the bus comes
// back, every ten seconds, and more often until the first answer. What is asked, and what becomes
// of the answer, is its user's. Lives on the control loop.

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "bus/client.h"
#include "loop/flow.h"
#include "node/context.h"

namespace candela::gateway {

class LighthousePuller {
public:
    static constexpr Duration kTimeout = 5s;  // of one question

    struct Options {
        std::string_view nudge_subject;
        std::string_view failure;  // what the log calls a pull that failed after one that did not
        // Whether the user has that version already.
        std::function<bool(uint64_t version)> has_version;
        std::function<Task<Result<>>()> pull;  // once at a time
    };

    LighthousePuller(NodeContext& context, Options options);

    void start();
    void pull_soon() { wake_.set(); }
    // After start().
    bus::Client& client() { return *client_; }

    // The lighthouse has answered since the start.
    bool is_live() const { return is_live_; }
    // For pull(): the answer is of this epoch. kConflict where a newer one has answered before.
    Result<> note_answer(uint64_t epoch);

private:
    Task<void> run();

    NodeContext& context_;
    const Options options_;
    uint64_t epoch_seen_ = 0;  // by pulls; what is on disk may be of a cloud that is no more
    bool is_live_ = false;
    bool was_refused_ = false;
    std::unique_ptr<bus::Client> client_;
    bus::Subscription nudges_;
    Event wake_;
    Timer timer_;
    TaskGroup flows_;  // last: ends first
};

}  // namespace candela::gateway
