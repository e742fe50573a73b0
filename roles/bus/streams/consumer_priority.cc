// Priority groups (ADR-42): who of those that pull is served first. Overflow: only where there is
// enough to do; pinned: one client alone, for as long as it comes back; prioritized: in order.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "consumer.h"

namespace candela::bus_role {

namespace {
constexpr size_t kPinLength = 22;
constexpr int64_t kPriorityMax = 9;
}  // namespace

// What is wrong with the request; null: nothing.
const char* Consumer::check_group(const std::string& group, const Request& request) {
    if (config_.priority == PriorityPolicy::kNone) {
        return group.empty() ? nullptr : "400 Bad Request - Not a Priority Group consumer";
    }
    if (group.empty()) return "400 Bad Request - Priority Group missing";
    if (std::find(config_.priority_groups.begin(), config_.priority_groups.end(), group) ==
        config_.priority_groups.end()) {
        return "400 Bad Request - Invalid Priority Group";
    }
    const bool has_overflow = request.waiting_min != 0 || request.unacknowledged_min != 0;
    if (has_overflow && config_.priority != PriorityPolicy::kOverflow) {
        return "400 Bad Request - Not a Overflow Priority consumer";
    }
    if (request.priority < 0 || request.priority > kPriorityMax) {
        return "400 Bad Request - Invalid Priority";
    }
    if (config_.priority != PriorityPolicy::kPinned) return nullptr;
    if (!request.pin.empty() && request.pin != pin_) return "423 Nats-Wrong-Pin-Id";
    if (!request.pin.empty()) pin_used_at_ = mono();
    return nullptr;
}

bool Consumer::is_eligible(const Request& request) const {
    switch (config_.priority) {
        case PriorityPolicy::kOverflow: {
            if (request.waiting_min <= 0 && request.unacknowledged_min <= 0) return true;
            const uint64_t waiting = waiting_messages_ + again_.size();
            if (request.waiting_min > 0 && waiting >= static_cast<uint64_t>(request.waiting_min))
                return true;
            return request.unacknowledged_min > 0 &&
                   pending_.size() >= static_cast<uint64_t>(request.unacknowledged_min);
        }
        case PriorityPolicy::kPinned: return pin_.empty() || request.pin == pin_;
        default: return true;
    }
}

void Consumer::pin_to(Request& request) {
    if (!pin_.empty()) return;
    pin_ = js_.random_name(kPinLength);
    pinned_time_ = js_.now();
    request.pin = pin_;
    js_.advise(stream_.account(), advisory_subject("PINNED"), "consumer_group_pinned",
               {{"stream", stream_.config().name},
                {"consumer", config_.name},
                {"group", config_.priority_groups.front()},
                {"pinned_id", pin_}});
}

void Consumer::unpin(const char* reason) {
    if (pin_.empty()) return;
    pin_.clear();
    js_.advise(stream_.account(), advisory_subject("UNPINNED"), "consumer_group_unpinned",
               {{"stream", stream_.config().name},
                {"consumer", config_.name},
                {"group", config_.priority_groups.front()},
                {"reason", reason}});
    js_.wake(stream_);
}

void Consumer::check_pin(int64_t now) {
    if (pin_.empty()) return;
    // While it waits for more, it is there.
    const bool is_waiting = std::any_of(requests_.begin(), requests_.end(), [&](const Request& r) {
        return r.pin == pin_ && js_.has_interest(stream_.account(), r.reply);
    });
    if (is_waiting) pin_used_at_ = now;
    if (now - pin_used_at_ >= config_.priority_timeout) unpin("timeout");
}

Json Consumer::group_info() const {
    Json groups = Json::array();
    for (const std::string& group : config_.priority_groups) {
        Json shown = {{"group", group}};
        if (!pin_.empty()) {
            shown["pinned_client_id"] = pin_;
            shown["pinned_ts"] = format_nanos(pinned_time_);
        }
        groups.push_back(std::move(shown));
    }
    return groups;
}

}  // namespace candela::bus_role
