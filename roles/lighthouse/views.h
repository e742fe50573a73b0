#pragma once

// What the API shows of things: docs/ctl-json.md. Pure.

#include "acme_keeper.h"
#include "base/json.h"
#include "certificate_book.h"
#include "state.h"

namespace candela::lighthouse {

struct NodeCounts {
    size_t instances = 0;
    size_t unfinished = 0;  // what still has to leave for a drain to be done
};
// One pass over all instances, for a list of nodes.
std::map<std::string, NodeCounts> count_by_node(const State& state);

Json view_of(const Node& node, const NodeCounts& counts, const State& state);
Json view_of(const Service& service, const State& state);
Json view_of(const Service& service, const Release& release, const State& state);
Json view_of(const Instance& instance, const State& state);
Json view_of(const KeyRecord& key);
Json view_of(const SpaceRecord& space, const State& state);
Json view_of(const StoredEvent& event);
Json view_of(const HeldCertificate& certificate, WallTime now);
Json view_of(const AcmeKeeper& acme);

// What people have made of a service, as a short text: the same where that is the same.
std::string revision_of(const Service& service);

// Of the service's target, those that are ready.
uint32_t ready_count(const Service& service, uint64_t release, const State& state);

}  // namespace candela::lighthouse
