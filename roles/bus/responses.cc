#include "responses.h"

#include <optional>
#include <span>

#include "crypto/entropy.h"

namespace candela::bus_role {

namespace {

constexpr Duration kSweepInterval = 1s;
constexpr unsigned kIndexBits = 16;  // of a token; the rest is the nonce
static_assert(Responses::kWaitingMax <= 1U << kIndexBits);
constexpr uint64_t kNonceMask = (uint64_t{1} << (60 - kIndexBits)) - 1;
constexpr size_t kTokenSize = 10;  // of 6 bits each
constexpr std::string_view kDigits =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

void append_token(std::string& out, uint64_t value) {
    for (size_t i = 0; i < kTokenSize; ++i, value >>= 6) out += kDigits[value & 63];
}

std::optional<uint64_t> parse_token(std::string_view text) {
    if (text.size() != kTokenSize) return std::nullopt;
    uint64_t value = 0;
    for (size_t i = kTokenSize; i-- > 0;) {
        const size_t digit = kDigits.find(text[i]);
        if (digit == std::string_view::npos) return std::nullopt;
        value = value << 6 | digit;
    }
    return value;
}

}  // namespace

Responses::Responses(Loop& loop)
    : loop_(loop), pattern_(kPrefix), sweep_timer_(loop.timers(), [this] { sweep(); }) {
    append_token(pattern_, next_nonce());
    pattern_ += ".*";
}

uint64_t Responses::next_nonce() {
    if (chance_left_ == 0) {
        crypto::random_bytes(std::span(reinterpret_cast<uint8_t*>(chance_.data()), sizeof chance_));
        chance_left_ = chance_.size();
    }
    return std::exchange(chance_[--chance_left_], 0);
}

bool Responses::add(Account& asker, std::string_view reply, auth::ResponseType type,
                    Duration threshold, std::string& out) {
    if (waiting_ >= kWaitingMax || waiting_of_[&asker] >= kWaitingPerAccountMax) return false;
    if (free_.empty()) {
        free_.push_back(static_cast<uint32_t>(entries_.size()));
        entries_.emplace_back();
    }
    const uint32_t index = free_.back();
    free_.pop_back();
    ++waiting_;
    ++waiting_of_[&asker];
    Entry& entry = entries_[index];
    entry.asker = &asker;
    entry.reply.assign(reply);
    entry.type = type;
    entry.threshold = threshold == 0ns ? kThreshold : threshold;
    entry.expires_at = loop_.now() + entry.threshold;
    entry.nonce = next_nonce() & kNonceMask;
    entry.is_used = true;
    out.assign(pattern_, 0, pattern_.size() - 1);
    append_token(out, entry.nonce << kIndexBits | index);
    if (!sweep_timer_.is_active()) sweep_timer_.start(kSweepInterval);
    return true;
}

Responses::Entry* Responses::find(std::string_view subject) {
    const std::string_view ours = std::string_view(pattern_).substr(0, pattern_.size() - 1);
    if (!subject.starts_with(ours)) return nullptr;
    const std::optional<uint64_t> token = parse_token(subject.substr(ours.size()));
    if (!token) return nullptr;
    const size_t index = *token & ((1U << kIndexBits) - 1);
    if (index >= entries_.size()) return nullptr;
    Entry& entry = entries_[index];
    const bool is_same = entry.is_used && entry.nonce == *token >> kIndexBits;
    return is_same && loop_.now() < entry.expires_at ? &entry : nullptr;
}

void Responses::note_answer(Entry& entry, bool is_empty) {
    if (entry.type == auth::ResponseType::kSingleton || is_empty) {
        remove(entry);
        return;
    }
    entry.expires_at = loop_.now() + entry.threshold;
}

void Responses::remove(Entry& entry) {
    if (!entry.is_used) return;
    entry.is_used = false;
    --waiting_;
    const auto found = waiting_of_.find(entry.asker);
    if (--found->second == 0) waiting_of_.erase(found);
    entry.asker = nullptr;
    free_.push_back(static_cast<uint32_t>(&entry - entries_.data()));
}

void Responses::forget(const Account& asker) {
    if (!waiting_of_.contains(&asker)) return;
    for (Entry& entry : entries_) {
        if (entry.asker == &asker) remove(entry);
    }
}

void Responses::sweep() {
    const MonoTime now = loop_.now();
    for (Entry& entry : entries_) {
        if (entry.is_used && entry.expires_at <= now) remove(entry);
    }
    if (waiting_ != 0) {
        sweep_timer_.start(kSweepInterval);
        return;
    }
    // After a flood nothing is kept of it.
    entries_ = {};
    free_ = {};
}

}  // namespace candela::bus_role
