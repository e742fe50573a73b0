#pragma once

// Messages by a moment of their own, such as the one at which they expire. About 100 bytes a
// message. Values; times are nanoseconds since 1970.

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace candela::bus_role {

class MessageTimes {
public:
    void put(uint64_t sequence, int64_t when);
    void erase(uint64_t sequence);
    bool contains(uint64_t sequence) const { return by_sequence_.contains(sequence); }
    // The earliest; 0 where there is none.
    int64_t next() const { return by_time_.empty() ? 0 : by_time_.begin()->first; }
    // The latest; there must be one.
    int64_t last() const { return by_time_.rbegin()->first; }
    uint64_t last_sequence() const { return by_time_.rbegin()->second; }
    // One that is due; 0 where none is.
    uint64_t due(int64_t now) const;
    size_t size() const { return by_sequence_.size(); }

    void encode(std::string& out) const;
    // Takes its part off the front; false where it makes no sense.
    bool decode(std::string_view& bytes);

private:
    std::unordered_map<uint64_t, int64_t> by_sequence_;
    std::set<std::pair<int64_t, uint64_t>> by_time_;
};

void append_number(std::string& out, uint64_t number);
bool take_number(std::string_view& bytes, uint64_t& number);

}  // namespace candela::bus_role
