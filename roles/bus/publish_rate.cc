#include "publish_rate.h"

#include <algorithm>

#include "base/text.h"

namespace candela::bus_role {

namespace {

constexpr std::string_view kMessagesTag = "candela:publish_rate=";
constexpr std::string_view kBytesTag = "candela:publish_bytes=";
constexpr uint64_t kRateMax = 1'000'000'000;  // a second; each costs a nanosecond at least

}  // namespace

Result<PublishRate> read_publish_rate(const std::vector<std::string>& tags, PublishRate base) {
    for (const std::string& tag : tags) {
        // NATS's libraries write tags in lower case.
        const std::string lowered = ascii_lower(tag);
        if (lowered.starts_with(kMessagesTag)) {
            CANDELA_TRY_ASSIGN(base.messages, parse_uint(lowered.substr(kMessagesTag.size())));
        } else if (lowered.starts_with(kBytesTag)) {
            CANDELA_TRY_ASSIGN(base.bytes, parse_size(lowered.substr(kBytesTag.size())));
        }
    }
    if (base.messages > kRateMax) {
        return fail(Code::kInvalid, "candela:publish_rate is at most {}", kRateMax);
    }
    return base;
}

Duration PublishBudget::charge(std::atomic<int64_t>& paid_until, uint64_t amount,
                               uint64_t per_second, MonoTime now) {
    if (per_second == 0) return Duration(0);
    const int64_t at = std::chrono::nanoseconds(now.time_since_epoch()).count();
    const double price = 1e9 * static_cast<double>(amount) / static_cast<double>(per_second);
    const auto cost = static_cast<int64_t>(price) + 1;
    int64_t before = paid_until.load(std::memory_order_relaxed);
    int64_t after = 0;
    do {
        // What was not used is kept for as long as a burst.
        after = std::max(before, at - Duration(kBurst).count()) + cost;
    } while (!paid_until.compare_exchange_weak(before, after, std::memory_order_relaxed));
    return Duration(std::max<int64_t>(after - at, 0));
}

Duration PublishBudget::spend(size_t bytes, MonoTime now) {
    return std::max(charge(messages_until_, 1, rate_.messages, now),
                    charge(bytes_until_, bytes, rate_.bytes, now));
}

std::shared_ptr<PublishBudget> PublishBudgets::find(const std::string& user_key, PublishRate rate) {
    const std::lock_guard lock(mutex_);
    std::weak_ptr<PublishBudget>& place = budgets_[user_key];
    std::shared_ptr<PublishBudget> budget = place.lock();
    // A user whose credential was renewed with another rate begins anew with that.
    if (budget == nullptr || budget->rate() != rate) {
        budget = std::make_shared<PublishBudget>(rate);
        place = budget;
    }
    if (budgets_.size() >= sweep_at_) {
        std::erase_if(budgets_, [](const auto& entry) { return entry.second.expired(); });
        sweep_at_ = std::max<size_t>(64, budgets_.size() * 2);
    }
    return budget;
}

}  // namespace candela::bus_role
