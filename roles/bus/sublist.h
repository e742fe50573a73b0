#pragma once

// The subscriptions of one account, and who gets a subject: a trie of tokens, with the results of
// subjects that are used again kept in a cache. A literal (un)subscription forgets one cached
// result, one with wildcards forgets all. Control loop; bounded by the subscriptions themselves and
// kCacheMax.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "subscription.h"

namespace candela::bus_role {

struct Matches {
    std::vector<Subscription*> plain;
    std::vector<std::vector<Subscription*>> queues;  // of each, one member gets the message

    bool empty() const { return plain.empty() && queues.empty(); }
    void clear() {
        plain.clear();
        queues.clear();
    }
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

    // Who gets the subject, taken literally; nobody where it has an empty token. What is returned
    // stays valid, though perhaps outdated, until sweep(); an uncached one until the next call.
    const Matches& match(std::string_view subject);
    // Changes with every insert, remove and sweep of something outdated: whoever keeps a cached
    // result compares it first.
    uint64_t generation() const { return generation_; }
    // Whether what match() returned last came from the cache and may be kept.
    bool last_was_cached() const { return last_was_cached_; }
    bool has_outdated() const { return !outdated_.empty(); }
    // Frees outdated results. Not while one is in use.
    void sweep();

    size_t size() const { return size_; }

private:
    struct Node;
    struct Hash {
        using is_transparent = void;
        size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>()(text);
        }
    };
    static constexpr size_t kCacheMax = 8192;
    static constexpr size_t kSeenSlots = 1024;

    void forget(std::string_view pattern);
    static void collect(const Node& node, std::string_view rest, Matches& out);
    static void take(const Node& node, Matches& out);
    void prune(std::string_view pattern);

    std::unique_ptr<Node> root_;
    std::unordered_map<std::string, std::unique_ptr<Matches>, Hash, std::equal_to<>> cache_;
    std::vector<std::unique_ptr<Matches>> outdated_;
    // Hashes of subjects seen once: only what comes again is cached, so that the inboxes of
    // requests, each used once, don't push out the rest.
    std::array<uint32_t, kSeenSlots> seen_{};
    Matches scratch_;
    uint64_t generation_ = 1;
    size_t size_ = 0;
    bool last_was_cached_ = false;
};

}  // namespace candela::bus_role
