#pragma once

// Messages that were read from segments, the ones used last. Loop thread.

#include <cstdint>
#include <list>
#include <map>
#include <utility>

#include "record.h"

namespace candela::bus_role {

class ReadCache {
public:
    explicit ReadCache(uint64_t bytes_max) : bytes_max_(bytes_max) {}

    RecordPtr find(uint64_t stream, uint64_t sequence) {
        const auto found = by_key_.find({stream, sequence});
        if (found == by_key_.end()) return nullptr;
        order_.splice(order_.begin(), order_, found->second);
        return found->second->record;
    }
    void add(uint64_t stream, uint64_t sequence, RecordPtr record) {
        if (by_key_.contains({stream, sequence})) return;
        bytes_ += record->body.size();
        order_.push_front({{stream, sequence}, std::move(record)});
        by_key_.emplace(order_.front().key, order_.begin());
        // The one just added stays, however large.
        while (bytes_ > bytes_max_ && order_.size() > 1) {
            bytes_ -= order_.back().record->body.size();
            by_key_.erase(order_.back().key);
            order_.pop_back();
        }
    }

private:
    using Key = std::pair<uint64_t, uint64_t>;
    struct Item {
        Key key;
        RecordPtr record;
    };
    const uint64_t bytes_max_;
    uint64_t bytes_ = 0;
    std::list<Item> order_;
    std::map<Key, std::list<Item>::iterator> by_key_;
};

}  // namespace candela::bus_role
