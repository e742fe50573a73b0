#pragma once

// What a user with allow_responses may answer to: reply subjects that were delivered to it, for a
// while and a number of messages. Bounded: the oldest go first. Control loop.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "auth/claims.h"
#include "base/time.h"

namespace candela::bus_role {

class ReplyPermits {
public:
    static constexpr size_t kPermitsMax = 4096;

    void set_rule(const std::optional<auth::ResponsePermission>& rule) { rule_ = rule; }
    bool is_active() const { return rule_.has_value(); }

    // A message with this reply subject was delivered.
    void note(std::string_view reply, MonoTime now) {
        while (!order_.empty() &&
               (order_.size() >= kPermitsMax || is_over(order_.front().at, now))) {
            const auto oldest = permits_.find(order_.front().reply);
            if (oldest != permits_.end() && oldest->second.at == order_.front().at) {
                permits_.erase(oldest);
            }
            order_.pop_front();
        }
        const std::string key(reply);
        permits_[key] = Permit{now, 0};
        order_.push_back(Noted{key, now});
    }

    // Uses up one answer.
    bool take(std::string_view subject, MonoTime now) {
        const auto found = permits_.find(std::string(subject));
        if (found == permits_.end()) return false;
        Permit& permit = found->second;
        ++permit.used;
        const bool is_spent = rule_->messages_max > 0 && permit.used > rule_->messages_max;
        if (!is_spent && !is_over(permit.at, now)) return true;
        permits_.erase(found);
        return false;
    }

private:
    struct Permit {
        MonoTime at;
        int64_t used = 0;
    };
    struct Noted {
        std::string reply;
        MonoTime at;
    };
    bool is_over(MonoTime at, MonoTime now) const {
        return rule_->ttl > 0ns && now - at > rule_->ttl;
    }

    std::optional<auth::ResponsePermission> rule_;
    std::unordered_map<std::string, Permit> permits_;
    std::deque<Noted> order_;
};

}  // namespace candela::bus_role
