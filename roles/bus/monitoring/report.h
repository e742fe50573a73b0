#pragma once

// What one loop's server says about itself when it is asked: plain values, which may go to another
// loop. Questions are narrow, so that no answer is larger than what will be shown.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "traffic.h"

namespace candela::bus_role {

struct ConnectionQuery {
    enum class Sort : uint8_t {
        kId,
        kStart,
        kSubscriptions,
        kPending,
        kMessagesTo,
        kMessagesFrom,
        kBytesTo,
        kBytesFrom,
        kLast,
        kIdle,
        kUptime,
        kRtt,
        kStop,
        kReason,
    };
    enum class State : uint8_t { kOpen, kClosed, kAny };

    Sort sort = Sort::kId;
    State state = State::kOpen;
    uint64_t id = 0;             // 0: any
    std::string account;         // empty: any
    std::string user;            // empty: any
    std::string filter_subject;  // has a subscription that overlaps it; empty: any
    bool with_subscriptions = false;
};

// One connection that the query fits, and where it stands in the order.
struct ConnectionKey {
    uint64_t id = 0;
    int64_t rank = 0;  // the smaller comes first
    std::string text;  // among equals of rank (sort by reason)
    bool is_closed = false;
};

struct SubscriptionReport {
    std::string account;
    std::string subject;
    std::string queue;
    std::string sid;
    uint64_t messages = 0;
    uint64_t max = 0;
    uint64_t connection = 0;
};

struct ConnectionReport {
    uint64_t id = 0;
    std::string host;
    uint16_t port = 0;
    std::string kind;  // "nats" or "websocket"
    WallTime start;
    WallTime last_activity;
    Duration rtt{};
    size_t pending_bytes = 0;
    Traffic traffic;
    size_t subscription_count = 0;
    std::string name;
    std::string language;
    std::string version;
    std::string account;  // its key; empty: not logged in
    std::string user;
    std::string user_name;
    std::string issuer;
    std::string tls_version;
    std::string tls_cipher;
    std::vector<SubscriptionReport> subscriptions;
    bool is_closed = false;
    WallTime stop;
    std::string reason;
};

struct SubscriptionQuery {
    std::string account;  // empty: all
    std::string test;     // only those that this subject would reach; empty: all
};

struct SublistReport {
    uint64_t subscriptions = 0;
    uint64_t cached = 0;
    uint64_t inserts = 0;
    uint64_t removes = 0;
    uint64_t matches = 0;
    uint64_t cache_hits = 0;
    uint64_t fanout_sum = 0;
    uint64_t fanout_max = 0;

    SublistReport& operator+=(const SublistReport& other) {
        subscriptions += other.subscriptions;
        cached += other.cached;
        inserts += other.inserts;
        removes += other.removes;
        matches += other.matches;
        cache_hits += other.cache_hits;
        fanout_sum += other.fanout_sum;
        fanout_max = fanout_max < other.fanout_max ? other.fanout_max : fanout_max;
        return *this;
    }
};

struct AccountReport {
    size_t connections = 0;
    Traffic traffic;
    SublistReport sublist;

    AccountReport& operator+=(const AccountReport& other) {
        connections += other.connections;
        traffic += other.traffic;
        sublist += other.sublist;
        return *this;
    }
};

struct TotalsReport {
    size_t connections = 0;
    uint64_t connections_total = 0;
    Traffic traffic;
    SublistReport sublist;
    size_t active_accounts = 0;
    std::map<std::string, AccountReport, std::less<>> accounts;  // those that were asked for

    void add(const TotalsReport& other) {
        connections += other.connections;
        connections_total += other.connections_total;
        traffic += other.traffic;
        sublist += other.sublist;
        for (const auto& [key, account] : other.accounts) accounts[key] += account;
    }
};

}  // namespace candela::bus_role
