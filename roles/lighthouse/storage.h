#pragma once

// The desired state in SQL: the schema, loading it whole at start, and writing one Change.
// Everything here runs on the database's thread.

#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "changes.h"
#include "model.h"
#include "quota.h"
#include "store/database.h"

namespace candela::lighthouse {

// Events kept; the oldest go first.
inline constexpr int64_t kEventsMax = 10'000;

enum class KeyKind : uint8_t { kPerson, kInstance, kGateway, kNode };

// A credential that this lighthouse has issued.
struct KeyRecord {
    std::string public_key;
    KeyKind kind = KeyKind::kPerson;
    std::string name;
    std::string space;                // the space it acts in; empty: the platform's account
    std::string role;                 // of a person; of a node, that it logs in for
    std::string owner;                // the instance or node that it is for
    std::vector<std::string> grants;  // of a person: "SPACE=ROLE", beside or instead of `space`
    int64_t created_at = 0;           // unix seconds, as in JWTs
    int64_t expires_at = 0;           // 0: never
    int64_t revoked_at = 0;           // 0: it is valid
    std::vector<std::string> tags;    // of a person's JWT, beside what follows from the rest
    std::string rotated_to;           // the key that was issued in its place; empty: none
    int64_t ends_at = 0;              // when it is revoked for that
};

struct SpaceRecord {
    std::string name;
    WallTime created_at{};
    Quota quota;
};

struct StoredEvent {
    uint64_t id = 0;
    WallTime time{};
    EventRecord event;
};

struct Loaded {
    uint64_t epoch = 0;  // of this start: more than at the last
    uint64_t last_event = 0;
    std::map<std::string, SpaceRecord> spaces;
    Wanted wanted;
    Seen seen;  // nodes and the instances' last states
    std::map<std::string, KeyRecord> keys;
    std::vector<StoredEvent> events;  // the last few
};

// What a node last was, for the next start.
struct SightingRecord {
    std::string instance;
    std::string state;
    uint32_t port = 0;
};

std::span<const store::Migration> migrations();
// Raises the epoch and reads everything. An epoch is at least the time in unix seconds: nodes obey
// no smaller one than they have seen, and so also follow a database that was copied back from an
// earlier time.
Result<Loaded> load(store::Connection& db, WallTime now);
Result<> write(store::Connection& db, const Change& change, std::span<const StoredEvent> events);
Result<> write_space(store::Connection& db, const SpaceRecord& space);
Result<> remove_space(store::Connection& db, const std::string& name);
Result<> write_key(store::Connection& db, const KeyRecord& key);
Result<> remove_keys(store::Connection& db, std::span<const std::string> public_keys);
Result<> write_events(store::Connection& db, std::span<const StoredEvent> events);
Result<> write_seen(store::Connection& db, std::span<const Node> nodes,
                    std::span<const SightingRecord> sightings);

}  // namespace candela::lighthouse
