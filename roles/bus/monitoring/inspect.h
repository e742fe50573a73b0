#pragma once

// Looks at one loop's server, on its loop, and answers the questions of report.h. What it costs is
// of the connections or subscriptions there are; nothing of it is on the way of a message.

#include <span>
#include <string_view>

#include "monitoring/report.h"

namespace candela::bus_role {

class Server;

namespace inspect {

inline constexpr size_t kListedSubscriptionsMax = 65536;  // of all connections of one answer

// `account`: "" for no account's numbers, "*" for all accounts with a client, or a key.
TotalsReport totals(Server& server, std::string_view account);

// Connections that fit, in no order.
std::vector<ConnectionKey> keys(Server& server, const ConnectionQuery& query);
// Those of them that are still there.
std::vector<ConnectionReport> connections(Server& server, std::span<const ConnectionKey> keys,
                                          const ConnectionQuery& query);

uint64_t count_subscriptions(Server& server, const SubscriptionQuery& query);
// Some of them, in an order that stays the same while nothing changes.
std::vector<SubscriptionReport> subscriptions(Server& server, const SubscriptionQuery& query,
                                              uint64_t skip, uint64_t take);

}  // namespace inspect

}  // namespace candela::bus_role
