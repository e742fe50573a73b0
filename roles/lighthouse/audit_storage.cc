#include "audit_storage.h"

#include "base/encoding.h"
#include "crypto/hash.h"

namespace candela::lighthouse {

namespace {

using store::Connection;
using store::Row;

constexpr size_t kVerifiedAtOnce = 1000;  // rows in memory
constexpr uint64_t kPrunedAtOnce = 1000;  // a commit stays short
constexpr std::string_view kColumns =
    "id, request, time, who, key, source, action, space, detail, outcome, seal";

int64_t i64(uint64_t number) { return static_cast<int64_t>(number); }
uint64_t u64(const Row& row, size_t column) { return static_cast<uint64_t>(row.integer(column)); }

void add_part(std::string& out, std::string_view part) {
    out += fmt::format("{}:", part.size());
    out += part;
}

// Each part with its length in front: no two records have the same text.
std::string seal_of(const Secret& key, std::string_view before, const AuditRecord& record) {
    std::string text;
    add_part(text, before);
    add_part(text, fmt::format("{} {} {}", record.id, record.request, unix_millis(record.time)));
    for (const std::string* part : {&record.who, &record.key, &record.source, &record.action,
                                    &record.space, &record.detail, &record.outcome}) {
        add_part(text, *part);
    }
    const crypto::Digest digest = crypto::keyed_hash(key, as_bytes(text));
    return hex_encode(digest);
}

// The ends of the chain have seals of another kind, so that a record's own can't stand for one.
std::string end_seal(const Secret& key, std::string_view name, const AuditHead& end) {
    std::string text = fmt::format("{} {} {}", name, end.id, end.seal);
    const crypto::Digest digest = crypto::keyed_hash(key, as_bytes(text));
    return hex_encode(digest);
}

AuditRecord record_of(const Row& row) {
    AuditRecord record;
    record.id = u64(row, 0);
    record.request = u64(row, 1);
    record.time = from_unix_millis(row.integer(2));
    record.who = row.text(3);
    record.key = row.text(4);
    record.source = row.text(5);
    record.action = row.text(6);
    record.space = row.text(7);
    record.detail = row.text(8);
    record.outcome = row.text(9);
    record.seal = row.text(10);
    return record;
}

struct End {
    AuditHead at;
    std::string seal;
};

// "floor": the newest record that is no longer kept. "head": the newest of all.
Result<End> read_end(Connection& db, std::string_view name) {
    CANDELA_TRY_ASSIGN(const auto rows,
                       db.query("SELECT id, record_seal, seal FROM audit_ends WHERE name = $1",
                                {std::string(name)}));
    if (rows.empty()) return End();
    return End(AuditHead(u64(rows[0], 0), rows[0].text(1)), rows[0].text(2));
}

Result<> write_end(Connection& db, const Secret& key, std::string_view name, const AuditHead& at) {
    CANDELA_TRY(
        db.execute("INSERT INTO audit_ends (name, id, record_seal, seal) VALUES ($1, $2, $3, $4) "
                   "ON CONFLICT (name) DO UPDATE SET id = $2, record_seal = $3, seal = $4",
                   {std::string(name), i64(at.id), at.seal, end_seal(key, name, at)}));
    return {};
}

Result<> prune(Connection& db, const Secret& key, uint64_t head, WallTime keep_from) {
    CANDELA_TRY_ASSIGN(const End floor, read_end(db, "floor"));
    uint64_t last = head > kAuditRecordsMax ? head - kAuditRecordsMax : 0;
    last = std::max(last, floor.at.id);
    // In the order of numbers, and never the newest: a clock may have jumped.
    CANDELA_TRY_ASSIGN(
        const auto rows,
        db.query("SELECT id, time FROM audit WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3",
                 {i64(last), i64(head), i64(kPrunedAtOnce)}));
    for (const Row& row : rows) {
        if (row.integer(1) >= unix_millis(keep_from)) break;
        last = u64(row, 0);
    }
    if (last <= floor.at.id) return {};
    CANDELA_TRY_ASSIGN(const auto kept,
                       db.query("SELECT seal FROM audit WHERE id = $1", {i64(last)}));
    // A log with a hole is left alone, for verify_audit to find.
    if (kept.empty()) return {};
    CANDELA_TRY(write_end(db, key, "floor", AuditHead(last, kept[0].text(0))));
    CANDELA_TRY(db.execute("DELETE FROM audit WHERE id <= $1", {i64(last)}));
    return {};
}

std::string fault_of_end(const Secret& key, std::string_view name, const End& end) {
    if (end.at.id == 0 && end.seal.empty()) return "";
    const std::string wanted = end_seal(key, name, end.at);
    if (crypto::equal_constant_time(as_bytes(wanted), as_bytes(end.seal))) return "";
    return fmt::format("the {} of the log has been changed", name);
}

Result<std::string> find_fault(Connection& db, const Secret& key,
                               const std::optional<AuditHead>& known, AuditVerdict& verdict) {
    CANDELA_TRY_ASSIGN(const End floor, read_end(db, "floor"));
    CANDELA_TRY_ASSIGN(const End head, read_end(db, "head"));
    verdict.head = head.at;
    for (const auto& [name, end] : {std::pair("floor", &floor), std::pair("head", &head)}) {
        if (std::string fault = fault_of_end(key, name, *end); !fault.empty()) return fault;
    }
    AuditHead at = floor.at;
    bool is_known_found = !known || known->id <= floor.at.id;
    for (;;) {
        CANDELA_TRY_ASSIGN(
            const auto rows,
            db.query(
                fmt::format("SELECT {} FROM audit WHERE id > $1 ORDER BY id LIMIT $2", kColumns),
                {i64(at.id), i64(kVerifiedAtOnce)}));
        if (rows.empty()) break;
        for (const Row& row : rows) {
            const AuditRecord record = record_of(row);
            if (record.id != at.id + 1) {
                return fmt::format("record {} is missing", at.id + 1);
            }
            const std::string seal = seal_of(key, at.seal, record);
            if (!crypto::equal_constant_time(as_bytes(seal), as_bytes(record.seal))) {
                return fmt::format("record {} has been changed", record.id);
            }
            if (known && record.id == known->id) {
                if (record.seal != known->seal) {
                    return fmt::format("record {} is not the one that was noted", record.id);
                }
                is_known_found = true;
            }
            if (verdict.first == 0) verdict.first = record.id;
            ++verdict.records;
            at = AuditHead(record.id, record.seal);
        }
    }
    if (at.id != head.at.id || at.seal != head.at.seal) {
        return at.id < head.at.id ? fmt::format("the records after {} are missing", at.id)
                                  : fmt::format("record {} is behind the log's head", at.id);
    }
    if (!is_known_found) {
        return fmt::format("record {}, which was noted, is missing: the log ends with {}",
                           known->id, at.id);
    }
    return std::string();
}

}  // namespace

Result<AuditHead> append_audit(Connection& db, const Secret& key, AuditRecord record,
                               WallTime keep_from) {
    auto work = [&]() -> Result<AuditHead> {
        CANDELA_TRY_ASSIGN(const End head, read_end(db, "head"));
        record.id = head.at.id + 1;
        record.seal = seal_of(key, head.at.seal, record);
        CANDELA_TRY(db.execute(
            fmt::format(
                "INSERT INTO audit ({}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                kColumns),
            {i64(record.id), i64(record.request), unix_millis(record.time), record.who, record.key,
             record.source, record.action, record.space, record.detail, record.outcome,
             record.seal}));
        AuditHead next(record.id, record.seal);
        CANDELA_TRY(write_end(db, key, "head", next));
        CANDELA_TRY(prune(db, key, record.id, keep_from));
        return next;
    };
    return db.transaction(work);
}

Result<std::vector<AuditEntry>> read_audit(Connection& db, const AuditQuery& query) {
    const auto before = static_cast<int64_t>(std::min(query.before, uint64_t{INT64_MAX}));
    CANDELA_TRY_ASSIGN(const auto rows,
                       db.query(fmt::format("SELECT {} FROM audit WHERE request = 0 AND id < $1 "
                                            "AND ($2 = '' OR space = $2) AND ($3 = '' OR who = $3) "
                                            "ORDER BY id DESC LIMIT $4",
                                            kColumns),
                                {before, query.space, query.who, i64(query.limit)}));
    std::vector<AuditEntry> out;
    for (const Row& row : rows) {
        AuditEntry entry(record_of(row), std::nullopt);
        CANDELA_TRY_ASSIGN(
            const auto ends,
            db.query(fmt::format("SELECT {} FROM audit WHERE request = $1", kColumns),
                     {i64(entry.request.id)}));
        if (!ends.empty()) entry.end = record_of(ends[0]);
        out.push_back(std::move(entry));
    }
    return out;
}

Result<AuditVerdict> verify_audit(Connection& db, const Secret& key,
                                  const std::optional<AuditHead>& known) {
    AuditVerdict verdict;
    CANDELA_TRY_ASSIGN(verdict.fault, find_fault(db, key, known, verdict));
    return verdict;
}

}  // namespace candela::lighthouse
