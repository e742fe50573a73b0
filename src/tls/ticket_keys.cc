#include "tls/ticket_keys.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/check.h"
#include "crypto/entropy.h"

namespace candela::tls {

namespace {

constexpr Duration kWaitMin = 1ms;

// Clocks differ: a key that is given out is in force at once everywhere.
constexpr Duration kClockDifference = 5min;

bool makes_tickets(const TicketKey& key, WallTime now) {
    return key.from <= now && now < key.makes_until();
}

// How long until one of the keys begins, stops making tickets or ends.
template <class Keys>
Duration wait_of(const Keys& keys, WallTime now) {
    Duration wait = kTicketPeriodMax;
    for (const TicketKey& key : keys) {
        for (const WallTime at : {key.from, key.makes_until(), key.until}) {
            if (at > now) wait = std::min(wait, at - now);
        }
    }
    return std::max(wait, kWaitMin);
}

}  // namespace

TicketKey make_ticket_key(WallTime from, Duration period) {
    std::string bytes(kTicketNameBytes + kTicketSecretBytes, '\0');
    crypto::random_bytes(
        std::span<uint8_t>(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()));
    const Secret random{std::move(bytes)};
    TicketKey key;
    key.name = random.reveal().substr(0, kTicketNameBytes);
    key.secret = Secret(random.reveal().substr(kTicketNameBytes));
    // Whole milliseconds, as they travel.
    key.from = from_unix_millis(unix_millis(from));
    key.until = key.from + 2 * period;
    return key;
}

Result<> check_ticket_key(const TicketKey& key) {
    if (key.name.size() != kTicketNameBytes || key.secret.reveal().size() != kTicketSecretBytes) {
        return fail(Code::kInvalid, "a key of session tickets has the wrong size");
    }
    if (key.until <= key.from || key.until - key.from > 2 * kTicketPeriodMax) {
        return fail(Code::kInvalid, "a key of session tickets has impossible times");
    }
    return {};
}

bool advance_ticket_schedule(std::vector<TicketKey>& keys, WallTime now, Duration period) {
    CANDELA_CHECK(period > Duration(0) && period <= kTicketPeriodMax);
    bool changed =
        std::erase_if(keys, [now](const TicketKey& key) { return key.until <= now; }) > 0;
    const bool is_in_force =
        std::ranges::any_of(keys, [now](const TicketKey& key) { return makes_tickets(key, now); });
    if (!is_in_force) {
        // Nothing to go on from, or the clock has jumped.
        keys.clear();
        keys.push_back(make_ticket_key(now - std::min(period / 2, kClockDifference), period));
        changed = true;
    }
    if (keys.back().from <= now) {
        keys.push_back(make_ticket_key(keys.back().makes_until(), period));
        changed = true;
    }
    return changed;
}

Duration ticket_schedule_wait(const std::vector<TicketKey>& keys, WallTime now) {
    return wait_of(keys, now);
}

TicketKeys::TicketKeys(Duration period) : period_(period) {
    CANDELA_CHECK(period > Duration(0) && period <= kTicketPeriodMax);
}

Result<> TicketKeys::add(std::vector<TicketKey> keys, WallTime now) {
    for (const TicketKey& key : keys) CANDELA_TRY(check_ticket_key(key));
    const std::lock_guard lock(mutex_);
    for (TicketKey& key : keys) {
        const bool is_known =
            std::ranges::any_of(keys_, [&](const KeyPtr& k) { return k->name == key.name; });
        if (is_known) continue;
        key.is_shared = true;
        keys_.push_back(std::make_shared<const TicketKey>(std::move(key)));
    }
    if (keys_.size() > kKeysMax) {
        std::ranges::stable_sort(keys_, {}, [](const KeyPtr& key) { return key->from; });
        keys_.erase(keys_.begin(), keys_.end() - kKeysMax);
    }
    advance_locked(now);
    return {};
}

Duration TicketKeys::advance(WallTime now) {
    const std::lock_guard lock(mutex_);
    return advance_locked(now);
}

Duration TicketKeys::advance_locked(WallTime now) {
    std::erase_if(keys_, [now](const KeyPtr& key) { return key->until <= now; });
    current_ = nullptr;
    for (const KeyPtr& key : keys_) {
        if (!makes_tickets(*key, now)) continue;
        const bool is_better =
            current_ == nullptr ||
            (key->is_shared != current_->is_shared ? key->is_shared : key->from >= current_->from);
        if (is_better) current_ = key;
    }
    if (current_ == nullptr) {
        current_ = std::make_shared<const TicketKey>(make_ticket_key(now, period_));
        keys_.push_back(current_);
        if (keys_.size() > kKeysMax) keys_.erase(keys_.begin());
    }
    std::vector<TicketKey> times;
    for (const KeyPtr& key : keys_) {
        times.push_back(TicketKey(std::string(), Secret(), key->from, key->until));
    }
    return wait_of(times, now);
}

std::shared_ptr<const TicketKey> TicketKeys::current() const {
    const std::lock_guard lock(mutex_);
    return current_;
}

std::shared_ptr<const TicketKey> TicketKeys::find(std::string_view name) const {
    const std::lock_guard lock(mutex_);
    const auto found =
        std::ranges::find_if(keys_, [name](const KeyPtr& key) { return key->name == name; });
    return found == keys_.end() ? nullptr : *found;
}

}  // namespace candela::tls
