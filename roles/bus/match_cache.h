#pragma once

// Results by subject: a table of sets of four, in which the one that was used longest ago makes
// room. It grows with use, up to kEntriesMax entries and kReceiversMax receivers in all of them
// together, with which it starts anew. Owned by a Sublist.

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "matches.h"

namespace candela::bus_role {

class MatchCache {
public:
    static constexpr size_t kEntriesMax = 16384;
    static constexpr size_t kReceiversMax = 512 * 1024;

    // Null where the subject has none.
    Matches* find(size_t hash, std::string_view subject) {
        Entry* entry = find_entry(hash, subject);
        if (entry == nullptr) return nullptr;
        entry->used_at = ++clock_;
        return entry->matches.get();
    }
    // Keeps the subject's result. What it replaces, and what has to make room, goes to `out`: it
    // may be in use.
    void put(size_t hash, std::string_view subject, std::unique_ptr<Matches> matches,
             std::vector<std::unique_ptr<Matches>>& out) {
        if (receivers_ + matches->receivers() > kReceiversMax) clear(out);
        Entry* place = find_entry(hash, subject);
        if (place == nullptr) place = make_room(hash);
        if (place->matches != nullptr) {
            receivers_ -= place->matches->receivers();
            out.push_back(std::move(place->matches));
        } else {
            ++entries_;
        }
        receivers_ += matches->receivers();
        place->hash = hash;
        place->subject.assign(subject);
        place->used_at = ++clock_;
        place->matches = std::move(matches);
    }

    size_t size() const { return entries_; }

private:
    static constexpr size_t kWays = 4;
    static constexpr size_t kFirstSets = 8;
    struct Entry {
        size_t hash = 0;
        uint64_t used_at = 0;
        std::unique_ptr<Matches> matches;
        std::string subject;
    };
    using Set = std::array<Entry, kWays>;

    Set& set_of(size_t hash) { return sets_[hash & (sets_.size() - 1)]; }
    Entry* find_entry(size_t hash, std::string_view subject) {
        if (sets_.empty()) return nullptr;
        for (Entry& entry : set_of(hash)) {
            if (entry.hash == hash && entry.matches != nullptr && entry.subject == subject) {
                return &entry;
            }
        }
        return nullptr;
    }
    static Entry* oldest_in(Set& set) {
        Entry* oldest = set.data();
        for (Entry& entry : set) {
            if (entry.matches == nullptr) return &entry;
            if (entry.used_at < oldest->used_at) oldest = &entry;
        }
        return oldest;
    }
    Entry* make_room(size_t hash) {
        if (sets_.empty()) sets_.resize(kFirstSets);
        Entry* place = oldest_in(set_of(hash));
        while (place->matches != nullptr && sets_.size() * kWays < kEntriesMax) {
            grow();
            place = oldest_in(set_of(hash));
        }
        return place;
    }
    // A set's entries go to two sets of the larger table: there is room for all.
    void grow() {
        std::vector<Set> old(sets_.size() * 2);
        old.swap(sets_);
        for (Set& set : old) {
            for (Entry& entry : set) {
                if (entry.matches != nullptr) *oldest_in(set_of(entry.hash)) = std::move(entry);
            }
        }
    }
    void clear(std::vector<std::unique_ptr<Matches>>& out) {
        for (Set& set : sets_) {
            for (Entry& entry : set) {
                if (entry.matches != nullptr) out.push_back(std::move(entry.matches));
            }
        }
        sets_.clear();
        receivers_ = 0;
        entries_ = 0;
    }

    std::vector<Set> sets_;  // as many as a power of two
    uint64_t clock_ = 0;
    size_t receivers_ = 0;
    size_t entries_ = 0;
};

}  // namespace candela::bus_role
