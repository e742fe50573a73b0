#pragma once

// How much a user may publish in a second, on all its connections together. Whoever is beyond it is
// read later, never dropped: its client feels it as a slow network. Limits come from tags of the
// user's JWT, of its account's, or from the profile; a real nats-server takes no notice of them.
//
//     candela:publish_rate=1000     messages a second
//     candela:publish_bytes=1MiB    bytes of payload and headers a second
//
// A second's worth may come at once.

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace candela::bus_role {

struct PublishRate {
    uint64_t messages = 0;  // a second; 0: no limit
    uint64_t bytes = 0;

    bool is_limited() const { return messages != 0 || bytes != 0; }
    friend bool operator==(const PublishRate&, const PublishRate&) = default;
};

// What the tags say, over `base`. A tag that is not understood is an error: it must not become "no
// limit".
Result<PublishRate> read_publish_rate(const std::vector<std::string>& tags, PublishRate base);

// One user's; any thread.
class PublishBudget {
public:
    explicit PublishBudget(PublishRate rate) : rate_(rate) {}

    // Takes one message; returns how long nothing more of the user should be read.
    Duration spend(size_t bytes, MonoTime now);
    const PublishRate& rate() const { return rate_; }

private:
    static constexpr Duration kBurst = 1s;
    static Duration charge(std::atomic<int64_t>& paid_until, uint64_t amount, uint64_t per_second,
                           MonoTime now);

    const PublishRate rate_;
    // Each up to when what was taken is paid for, in nanoseconds of the clock.
    std::atomic<int64_t> messages_until_{INT64_MIN};
    std::atomic<int64_t> bytes_until_{INT64_MIN};
};

// The budgets of users that are connected, shared by all loops; asked at logins only.
class PublishBudgets {
public:
    std::shared_ptr<PublishBudget> find(const std::string& user_key, PublishRate rate);

private:
    std::mutex mutex_;
    std::map<std::string, std::weak_ptr<PublishBudget>> budgets_;  // under mutex_
    size_t sweep_at_ = 64;
};

}  // namespace candela::bus_role
