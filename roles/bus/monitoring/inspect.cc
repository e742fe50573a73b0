#include "monitoring/inspect.h"

#include <algorithm>

#include "auth/permissions.h"
#include "server.h"

namespace candela::bus_role::inspect {

namespace {

int64_t as_rank(uint64_t value) { return static_cast<int64_t>(value & INT64_MAX); }

// Sums come largest first, times as nats-server sorts them.
ConnectionKey key_of(const ConnectionReport& report, ConnectionQuery::Sort sort) {
    using Sort = ConnectionQuery::Sort;
    ConnectionKey key;
    key.id = report.id;
    key.is_closed = report.is_closed;
    const auto nanos = [](WallTime time) { return time.time_since_epoch().count(); };
    const WallTime end = report.is_closed ? report.stop : WallTime();
    switch (sort) {
        case Sort::kId: break;
        case Sort::kStart: key.rank = nanos(report.start); break;
        case Sort::kSubscriptions: key.rank = -as_rank(report.subscription_count); break;
        case Sort::kPending: key.rank = -as_rank(report.pending_bytes); break;
        case Sort::kMessagesTo: key.rank = -as_rank(report.traffic.out_messages); break;
        case Sort::kMessagesFrom: key.rank = -as_rank(report.traffic.in_messages); break;
        case Sort::kBytesTo: key.rank = -as_rank(report.traffic.out_bytes); break;
        case Sort::kBytesFrom: key.rank = -as_rank(report.traffic.in_bytes); break;
        case Sort::kLast: key.rank = -nanos(report.last_activity); break;
        case Sort::kIdle: key.rank = nanos(report.last_activity); break;
        case Sort::kUptime: key.rank = -nanos(report.start); break;
        case Sort::kRtt: key.rank = -report.rtt.count(); break;
        case Sort::kStop: key.rank = nanos(end); break;
        case Sort::kReason: key.text = report.reason; break;
    }
    return key;
}

SubscriptionReport describe(const Subscription& subscription, std::string_view account) {
    SubscriptionReport out;
    out.account = std::string(account);
    out.subject = subscription.subject;
    out.queue = subscription.queue;
    out.sid = subscription.sid;
    out.messages = subscription.delivered;
    out.max = subscription.max;
    if (subscription.connection != nullptr) out.connection = subscription.connection->id();
    return out;
}

bool fits(const ConnectionReport& report, const ConnectionQuery& query) {
    if (query.id != 0 && report.id != query.id) return false;
    if (!query.account.empty() && report.account != query.account) return false;
    return query.user.empty() || report.user == query.user;
}

bool hears(const Connection& connection, std::string_view subject) {
    const auto& all = connection.subscriptions();
    return std::any_of(all.begin(), all.end(), [&](const auto& entry) {
        return auth::patterns_overlap(entry.second->subject, subject);
    });
}

// Calls with each subscription of a client that fits, until that returns false.
template <class Visit>
void for_each(Server& server, const SubscriptionQuery& query, const Visit& visit) {
    for (const auto& [key, account] : server.accounts().all()) {
        if (!query.account.empty() && query.account != key) continue;
        const auto fits = [&](const Subscription& subscription) {
            return query.test.empty() || auth::subject_matches(subscription.subject, query.test);
        };
        for (const auto& service : account->services) {
            if (fits(*service) && !visit(*service, key)) return;
        }
        for (const Connection* connection : account->connections) {
            for (const auto& [sid, subscription] : connection->subscriptions()) {
                if (fits(*subscription) && !visit(*subscription, key)) return;
            }
        }
    }
}

AccountReport report_of(const Account& account) {
    AccountReport out;
    out.connections = account.connections.size();
    out.traffic = account.departed;
    for (const Connection* connection : account.connections) out.traffic += connection->traffic();
    out.sublist = account.sublist.report();
    return out;
}

}  // namespace

TotalsReport totals(Server& server, std::string_view account) {
    TotalsReport out;
    out.connections = server.connection_count();
    out.connections_total = server.counters().connections_total;
    for (const auto& [key, each] : server.accounts().all()) {
        const AccountReport report = report_of(*each);
        out.traffic += report.traffic;
        out.sublist += report.sublist;
        if (each->totals->connections > 0) ++out.active_accounts;  // on whichever loop
        const bool is_wanted = account == key || (account == "*" && report.connections != 0);
        if (is_wanted) out.accounts.emplace(key, report);
    }
    out.traffic += server.events().departed();
    return out;
}

std::vector<ConnectionKey> keys(Server& server, const ConnectionQuery& query) {
    std::vector<ConnectionKey> out;
    if (query.state != ConnectionQuery::State::kClosed) {
        for (const auto& [id, connection] : server.connections()) {
            if (connection->login() == nullptr) continue;
            const ConnectionReport report = connection->report();
            if (!fits(report, query)) continue;
            if (!query.filter_subject.empty() && !hears(*connection, query.filter_subject)) {
                continue;
            }
            out.push_back(key_of(report, query.sort));
        }
    }
    if (query.state == ConnectionQuery::State::kOpen || !query.filter_subject.empty()) return out;
    for (const ConnectionReport& report : server.events().closed()) {
        if (fits(report, query)) out.push_back(key_of(report, query.sort));
    }
    return out;
}

std::vector<ConnectionReport> connections(Server& server, std::span<const ConnectionKey> keys,
                                          const ConnectionQuery& query) {
    std::vector<ConnectionReport> out;
    size_t listed = 0;
    for (const ConnectionKey& key : keys) {
        if (key.is_closed) {
            const auto& closed = server.events().closed();
            const auto found =
                std::find_if(closed.begin(), closed.end(),
                             [&](const ConnectionReport& report) { return report.id == key.id; });
            if (found != closed.end()) out.push_back(*found);
            continue;
        }
        const Connection* connection = server.find_connection(key.id);
        if (connection == nullptr || connection->login() == nullptr) continue;
        out.push_back(connection->report());
        if (!query.with_subscriptions) continue;
        for (const auto& [sid, subscription] : connection->subscriptions()) {
            if (listed == kListedSubscriptionsMax) break;
            ++listed;
            out.back().subscriptions.push_back(describe(*subscription, out.back().account));
        }
    }
    return out;
}

uint64_t count_subscriptions(Server& server, const SubscriptionQuery& query) {
    uint64_t count = 0;
    for_each(server, query, [&](const Subscription&, const std::string&) {
        ++count;
        return true;
    });
    return count;
}

std::vector<SubscriptionReport> subscriptions(Server& server, const SubscriptionQuery& query,
                                              uint64_t skip, uint64_t take) {
    std::vector<SubscriptionReport> out;
    if (take == 0) return out;
    for_each(server, query, [&](const Subscription& subscription, const std::string& account) {
        if (skip != 0) {
            --skip;
            return true;
        }
        out.push_back(describe(subscription, account));
        return out.size() < take;
    });
    return out;
}

}  // namespace candela::bus_role::inspect
