#include "message_times.h"

namespace candela::bus_role {

void append_number(std::string& out, uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) out += static_cast<char>(number >> shift);
}

bool take_number(std::string_view& bytes, uint64_t& number) {
    if (bytes.size() < 8) return false;
    number = 0;
    for (size_t i = 0; i < 8; ++i) number |= uint64_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
    bytes.remove_prefix(8);
    return true;
}

void MessageTimes::put(uint64_t sequence, int64_t when) {
    const auto [at, is_new] = by_sequence_.emplace(sequence, when);
    if (!is_new) {
        by_time_.erase({at->second, sequence});
        at->second = when;
    }
    by_time_.emplace(when, sequence);
}

void MessageTimes::erase(uint64_t sequence) {
    const auto found = by_sequence_.find(sequence);
    if (found == by_sequence_.end()) return;
    by_time_.erase({found->second, sequence});
    by_sequence_.erase(found);
}

uint64_t MessageTimes::due(int64_t now) const {
    if (by_time_.empty() || by_time_.begin()->first > now) return 0;
    return by_time_.begin()->second;
}

void MessageTimes::encode(std::string& out) const {
    append_number(out, by_sequence_.size());
    for (const auto& [when, sequence] : by_time_) {
        append_number(out, sequence);
        append_number(out, static_cast<uint64_t>(when));
    }
}

bool MessageTimes::decode(std::string_view& bytes) {
    uint64_t count = 0;
    if (!take_number(bytes, count) || count > bytes.size() / 16) return false;
    for (; count != 0; --count) {
        uint64_t sequence = 0;
        uint64_t when = 0;
        if (!take_number(bytes, sequence) || !take_number(bytes, when)) return false;
        put(sequence, static_cast<int64_t>(when));
    }
    return true;
}

}  // namespace candela::bus_role
