#include "join_storage.h"

#include "base/text.h"

namespace candela::lighthouse {

using store::Connection;

Result<std::vector<JoinTokenRecord>> load_join_tokens(Connection& db) {
    CANDELA_TRY_ASSIGN(const auto rows,
                       db.query("SELECT digest, roles, node, made_by, created_at, expires_at, "
                                "used_at, used_by, used_from FROM join_tokens"));
    std::vector<JoinTokenRecord> out;
    for (const store::Row& row : rows) {
        JoinTokenRecord record;
        record.digest = row.text(0);
        for (const std::string_view role : split(row.text(1), ' ')) record.roles.emplace_back(role);
        record.node = row.text(2);
        record.made_by = row.text(3);
        record.created_at = from_unix_millis(row.integer(4));
        record.expires_at = from_unix_millis(row.integer(5));
        record.used_at = from_unix_millis(row.integer(6));
        record.used_by = row.text(7);
        record.used_from = row.text(8);
        out.push_back(std::move(record));
    }
    return out;
}

Result<> write_join_token(Connection& db, const JoinTokenRecord& record) {
    CANDELA_TRY(db.execute(
        "INSERT INTO join_tokens (digest, roles, node, made_by, created_at, expires_at, used_at, "
        "used_by, used_from) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
        "ON CONFLICT (digest) DO UPDATE SET used_at = $7, used_by = $8, used_from = $9",
        {record.digest, join(record.roles, " "), record.node, record.made_by,
         unix_millis(record.created_at), unix_millis(record.expires_at),
         unix_millis(record.used_at), record.used_by, record.used_from}));
    return {};
}

Result<> remove_join_token(Connection& db, const std::string& digest) {
    CANDELA_TRY(db.execute("DELETE FROM join_tokens WHERE digest = $1", {digest}));
    return {};
}

}  // namespace candela::lighthouse
