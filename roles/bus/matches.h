#pragma once

// Who gets a subject: plain subscriptions, and groups of which one member does, on this loop and on
// others. Groups lie one behind the other in one vector, so that a result that is filled again
// allocates nothing.

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "subscription.h"

namespace candela::bus_role {

class GroupList {
public:
    using Members = std::span<Subscription* const>;

    class Iterator {
    public:
        Iterator(const GroupList& list, size_t index) : list_(list), index_(index) {}
        Members operator*() const { return list_[index_]; }
        Iterator& operator++() {
            ++index_;
            return *this;
        }
        friend bool operator==(const Iterator& a, const Iterator& b) {
            return a.index_ == b.index_;
        }

    private:
        const GroupList& list_;
        size_t index_;
    };

    size_t size() const { return ends_.size(); }
    bool empty() const { return ends_.empty(); }
    Iterator begin() const { return {*this, 0}; }
    Iterator end() const { return {*this, ends_.size()}; }
    Members operator[](size_t index) const {
        const size_t start = index == 0 ? 0 : ends_[index - 1];
        return Members(members_).subspan(start, ends_[index] - start);
    }

    void clear() {
        members_.clear();
        ends_.clear();
    }
    // Members of the group at `place`; places are counted from 0, in the order of their first
    // parts.
    struct Part {
        size_t place;
        Members members;
    };
    // Instead of what was there: each group's parts, put together.
    void assign(std::span<const Part> parts) {
        ends_.clear();
        for (const Part& part : parts) {
            if (part.place == ends_.size()) ends_.push_back(0);
            ends_[part.place] += part.members.size();
        }
        size_t total = 0;  // sizes become where groups start, and with their members where they end
        for (size_t& end : ends_) total += std::exchange(end, total);
        members_.resize(total);
        for (const Part& part : parts) {
            size_t& end = ends_[part.place];
            std::ranges::copy(part.members, members_.begin() + static_cast<ptrdiff_t>(end));
            end += part.members.size();
        }
    }
    size_t member_count() const { return members_.size(); }

private:
    std::vector<Subscription*> members_;
    std::vector<size_t> ends_;
};

constexpr size_t kLoopsMax = 64;

// So many members of queues[group] are on another loop.
struct RemoteMembers {
    size_t group;
    uint32_t loop;
    uint32_t count;
    const std::string* queue;  // the group's name, which lasts as long as the result is current
};

struct Matches {
    std::vector<Subscription*> plain;
    uint64_t plain_loops = 0;  // bit i: loop i has plain subscriptions, too
    GroupList queues;          // a group may have no member on this loop
    std::vector<RemoteMembers> remotes;
    std::vector<Subscription*> passages;  // into other accounts (imports.h)

    bool empty() const { return !has_receivers() && passages.empty(); }
    bool has_receivers() const { return !plain.empty() || plain_loops != 0 || !queues.empty(); }
    size_t receivers() const {
        return plain.size() + queues.member_count() + remotes.size() + passages.size();
    }
    void clear() {
        plain.clear();
        plain_loops = 0;
        queues.clear();
        remotes.clear();
        passages.clear();
    }
    std::string_view queue_name(size_t group) const {
        if (!queues[group].empty()) return queues[group].front()->queue;
        for (const RemoteMembers& remote : remotes) {
            if (remote.group == group) return *remote.queue;
        }
        return {};
    }
    uint64_t remote_members(size_t group) const {
        uint64_t out = 0;
        for (const RemoteMembers& remote : remotes) {
            if (remote.group == group) out += remote.count;
        }
        return out;
    }

    // For the Sublist: when a cached one was found, and which changes outdate it.
    uint64_t epoch = 0;
    uint8_t first_bucket = 0;
    uint8_t second_bucket = 0;
};

}  // namespace candela::bus_role
