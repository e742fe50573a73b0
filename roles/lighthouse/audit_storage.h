#pragma once

// The audit log in SQL: who changed what, as a chain in which each record's seal covers the seal
// before it. The seals are made with a key that is not in the database (vault.h), so that whoever
// can write to the file can't change, leave out or add a record without its being seen. Everything
// here runs on the database's thread.

#include <optional>
#include <string>
#include <vector>

#include "base/secret.h"
#include "base/time.h"
#include "store/connection.h"

namespace candela::lighthouse {

// What somebody was about to do, or (`request` is not 0) what came of it.
struct AuditRecord {
    uint64_t id = 0;  // 1, 2, 3, … without gaps
    uint64_t request = 0;
    WallTime time{};
    std::string who;
    std::string key;     // the credential's public key; empty: by the unix socket
    std::string source;  // where the request came from
    std::string action;  // "POST /v1/spaces/default/services/hello/scale"
    std::string space;   // empty: of the whole cloud
    std::string detail;
    std::string outcome;  // "done", or why not; of a request's end
    std::string seal;
};

struct AuditQuery {
    uint64_t before = UINT64_MAX;  // only requests with smaller numbers
    size_t limit = 50;
    std::string space;  // empty: any
    std::string who;    // empty: anyone
};

// A request with its end, where that is known.
struct AuditEntry {
    AuditRecord request;
    std::optional<AuditRecord> end;
};

// Where the log stands: its newest record.
struct AuditHead {
    uint64_t id = 0;
    std::string seal;
};

struct AuditVerdict {
    uint64_t records = 0;
    uint64_t first = 0;  // the oldest that is kept
    AuditHead head;
    std::string fault;  // empty: all of it is as it was written
};

inline constexpr uint64_t kAuditRecordsMax = 1'000'000;

// Gives the record its number and seal, and removes what is older than `keep_from` or beyond
// kAuditRecordsMax. Returns the new head.
Result<AuditHead> append_audit(store::Connection& db, const Secret& key, AuditRecord record,
                               WallTime keep_from);
// The newest first.
Result<std::vector<AuditEntry>> read_audit(store::Connection& db, const AuditQuery& query);
// Goes through all of it. `known` is a head that was noted earlier: it must still be in the chain,
// or older than what is kept.
Result<AuditVerdict> verify_audit(store::Connection& db, const Secret& key,
                                  const std::optional<AuditHead>& known);

}  // namespace candela::lighthouse
