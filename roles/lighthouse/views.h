#pragma once

// What the API shows of things: docs/ctl-json.md. Pure.

#include "acme_keeper.h"
#include "base/json.h"
#include "certificate_book.h"
#include "state.h"

namespace candela::lighthouse {

Json view_of(const Node& node, const State& state);
Json view_of(const Service& service, const State& state);
Json view_of(const Service& service, const Release& release, const State& state);
Json view_of(const Instance& instance, const State& state);
Json view_of(const KeyRecord& key);
Json view_of(const SpaceRecord& space, const State& state);
Json view_of(const StoredEvent& event);
Json view_of(const HeldCertificate& certificate, WallTime now);
Json view_of(const AcmeKeeper& acme);

// Of the service's target, those that are ready.
uint32_t ready_count(const Service& service, uint64_t release, const State& state);

}  // namespace candela::lighthouse
