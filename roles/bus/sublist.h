#pragma once

// The subscriptions of one account, and who gets a subject: a trie of tokens, with the
// results of subjects that are used again kept in a cache. A subscription that comes or goes
// outdates only what it may change: a literal one the result of its own subject, one with wildcards
// those that begin with its first one or two literal tokens. Costs of each operation are of its
// subject's tokens, however many subscriptions there are. One loop, which knows of those of other
// loops (set_remote) as much as is needed to send them what they want. Bounded by the subscriptions
// themselves and MatchCache::kEntriesMax.

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/keyed_hash.h"
#include "match_cache.h"
#include "matches.h"
#include "monitoring/report.h"
#include "subscription.h"

namespace candela::bus_role {

class Sublist;

// Hears of changes that the other loops may have to know.
class InterestObserver {
public:
    // There were `before` subscriptions of that subject and queue that are not private.
    virtual void on_interest(Sublist& sublist, const Subscription& changed, uint32_t before) = 0;

protected:
    ~InterestObserver() = default;
};

class Sublist {
public:
    Sublist();
    ~Sublist();
    Sublist(const Sublist&) = delete;
    Sublist& operator=(const Sublist&) = delete;

    // The subject must be a valid pattern; the subscription stays where it is until it is removed.
    void insert(Subscription& subscription);
    void remove(Subscription& subscription);

    // Another loop has so many subscriptions of that subject and queue; of a plain one it matters
    // only whether it has any.
    void set_remote(std::string_view subject, std::string_view queue, uint32_t loop,
                    uint32_t count);
    // This loop's own that are not private.
    uint32_t interest(std::string_view subject, std::string_view queue);
    void set_observer(InterestObserver* observer) { observer_ = observer; }

    // Who gets the subject, taken literally; nobody where it has an empty token. What is returned
    // stays valid, though perhaps outdated, until sweep(); an uncached one until the next call.
    const Matches& match(std::string_view subject);
    // Whether what match() returned last came from the cache and may be kept.
    bool last_was_cached() const { return last_was_cached_; }
    // Whoever keeps a cached result looks at it again only while the generation is the same: it
    // changes when one is freed; and uses it only while it is current.
    uint64_t generation() const { return generation_; }
    bool is_current(const Matches& kept) const { return kept.epoch == epoch_of(kept); }
    bool has_outdated() const { return !outdated_.empty(); }
    // Frees outdated results. Not while one is in use.
    void sweep();

    // Its numbers since the start; what a publisher remembers is not looked up.
    SublistReport report() const {
        SublistReport out = counted_;
        out.subscriptions = size_;
        out.cached = cache_.size();
        return out;
    }
    size_t size() const { return size_; }  // of this loop, without passages into other accounts

private:
    struct Node;
    struct Group;
    struct QueueName {
        std::string text;
        size_t uses = 0;
        uint64_t met_in = 0;  // the search that met it last, and its place in that one's result
        size_t place = 0;
    };
    struct Token {
        std::string_view text;
        size_t hash;
    };
    struct GroupKey {
        const Node* node;
        const QueueName* name;
        friend bool operator==(const GroupKey&, const GroupKey&) = default;
    };
    struct GroupKeyHash {
        size_t operator()(const GroupKey& key) const noexcept {
            return std::hash<const void*>()(key.node) * 31 + std::hash<const void*>()(key.name);
        }
    };
    static constexpr size_t kBuckets = 64;
    // A larger result is found again each time: that costs little beside delivering to them all.
    static constexpr size_t kCachedReceiversMax = 1024;
    static constexpr size_t kSeenSlots = 2048;

    bool split(std::string_view subject);
    Node* find_node();
    Node& make_node();
    Group& make_group(Node& node, std::string_view queue);
    Group* find_group(const Node& node, std::string_view queue);
    void drop_unused(Node& node, Group& group);
    void tell(const Subscription& subscription, uint32_t before) {
        if (observer_ != nullptr && !subscription.is_private)
            observer_->on_interest(*this, subscription, before);
    }
    void prune();
    void outdate(std::string_view pattern);
    void collect(std::string_view subject, Matches& out);
    void visit(const Node& node, size_t depth, Matches& out);
    void take(const Node& node, Matches& out);
    void set_buckets(Matches& matches) const;
    uint64_t epoch_of(const Matches& matches) const {
        return epoch_ + first_epochs_[matches.first_bucket] + second_epochs_[matches.second_bucket];
    }
    bool comes_again(size_t hash);
    void count_fanout(const Matches& matches) {
        const uint64_t receivers = matches.receivers();
        counted_.fanout_sum += receivers;
        if (receivers > counted_.fanout_max) counted_.fanout_max = receivers;
    }

    InterestObserver* observer_ = nullptr;
    const KeyedHash hash_;
    std::unique_ptr<Node> root_;
    std::unordered_map<std::string, std::unique_ptr<QueueName>, KeyedHash, std::equal_to<>> names_;
    std::unordered_map<GroupKey, std::unique_ptr<Group>, GroupKeyHash> groups_;
    std::vector<Token> tokens_;           // of the subject or pattern at hand
    std::vector<GroupList::Part> parts_;  // found by the search at hand
    uint64_t search_ = 0;
    size_t names_met_ = 0;

    MatchCache cache_;
    std::vector<std::unique_ptr<Matches>> outdated_;
    // Hashes of subjects seen once: only what comes again is cached, so that the inboxes of
    // requests, each used once, don't push out the rest. Made when first needed.
    std::vector<uint32_t> seen_;
    Matches scratch_;
    // Counted up by patterns that begin with a wildcard, with one literal token, with more: the sum
    // of the three that concern a subject is its epoch, and a result of an older one is outdated.
    uint64_t epoch_ = 1;
    std::array<uint64_t, kBuckets> first_epochs_{};
    std::array<uint64_t, kBuckets> second_epochs_{};
    uint64_t generation_ = 1;
    size_t size_ = 0;
    SublistReport counted_;
    bool last_was_cached_ = false;
};

}  // namespace candela::bus_role
