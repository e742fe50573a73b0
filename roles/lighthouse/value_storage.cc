#include "value_storage.h"

namespace candela::lighthouse {

using store::Connection;
using store::Row;

namespace {

std::string kind_of(const ValueKey& key) { return std::string(service::to_string(key.kind)); }

}  // namespace

Result<Values> load_values(Connection& db) {
    Values values;
    CANDELA_TRY_ASSIGN(const auto rows,
                       db.query("SELECT space, kind, name, version, bytes, author, created_at, "
                                "copy_of FROM space_values"));
    for (const Row& row : rows) {
        ValueKey key;
        key.space = row.text(0);
        CANDELA_TRY_ASSIGN(key.kind, service::parse_value_kind(row.text(1)));
        key.name = row.text(2);
        ValueVersion version;
        version.number = static_cast<uint64_t>(row.integer(3));
        version.bytes = static_cast<uint64_t>(row.integer(4));
        version.author = row.text(5);
        version.created_at = from_unix_millis(row.integer(6));
        version.copy_of = static_cast<uint64_t>(row.integer(7));
        values[std::move(key)].emplace(version.number, std::move(version));
    }
    return values;
}

Result<> write_values(Connection& db, const Change& change) {
    for (const auto& [key, version] : change.gone_values) {
        CANDELA_TRY(db.execute(
            "DELETE FROM space_values WHERE space = $1 AND kind = $2 AND name = $3 AND version = "
            "$4",
            {key.space, kind_of(key), key.name, static_cast<int64_t>(version)}));
    }
    for (const ValueWrite& write : change.values) {
        const ValueVersion& version = write.version;
        CANDELA_TRY(db.execute(
            "INSERT INTO space_values (space, kind, name, version, content, bytes, author, "
            "created_at, copy_of) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            {write.key.space, kind_of(write.key), write.key.name,
             static_cast<int64_t>(version.number), write.content,
             static_cast<int64_t>(version.bytes), version.author, unix_millis(version.created_at),
             static_cast<int64_t>(version.copy_of)}));
    }
    return {};
}

Result<> remove_values_of(Connection& db, const std::string& space) {
    CANDELA_TRY(db.execute("DELETE FROM space_values WHERE space = $1", {space}));
    return {};
}

Result<std::vector<std::string>> read_values(Connection& db, const std::vector<ValueAt>& wanted) {
    std::vector<std::string> contents;
    for (const ValueAt& value : wanted) {
        CANDELA_TRY_ASSIGN(
            const auto rows,
            db.query(
                "SELECT content FROM space_values WHERE space = $1 AND kind = $2 AND name = $3 "
                "AND version = $4",
                {value.key.space, kind_of(value.key), value.key.name,
                 static_cast<int64_t>(value.version)}));
        if (rows.empty()) {
            return fail(Code::kNotFound, "version {} of {} is gone", value.version,
                        to_string(value.key));
        }
        contents.push_back(rows[0].text(0));
    }
    return contents;
}

}  // namespace candela::lighthouse
