#include "flag_storage.h"

#include <nlohmann/json.hpp>

namespace candela::lighthouse {

using store::Connection;
using store::Row;

Result<Flags> load_flags(Connection& db) {
    Flags flags;
    CANDELA_TRY_ASSIGN(
        const auto rows,
        db.query("SELECT space, flag, version, content, author, created_at FROM flags"));
    for (const Row& row : rows) {
        FlagKey key(row.text(0), row.text(1));
        FlagVersion version;
        version.number = static_cast<uint64_t>(row.integer(2));
        CANDELA_TRY_ASSIGN(const Json content, parse_json(row.text(3)));
        auto flag = flag_from_json(content);
        if (!flag) {
            return fail(flag.error().in(
                fmt::format("version {} of the flag {}", version.number, key.name)));
        }
        version.flag = std::move(*flag);
        version.bytes = row.text(3).size();
        version.author = row.text(4);
        version.created_at = from_unix_millis(row.integer(5));
        flags[std::move(key)].emplace(version.number, std::move(version));
    }
    return flags;
}

Result<> write_flags(Connection& db, const Change& change) {
    for (const auto& [key, number] : change.gone_flags) {
        CANDELA_TRY(db.execute("DELETE FROM flags WHERE space = $1 AND flag = $2 AND version = $3",
                               {key.space, key.name, static_cast<int64_t>(number)}));
    }
    for (const auto& [key, version] : change.flags) {
        CANDELA_TRY(db.execute(
            "INSERT INTO flags (space, flag, version, content, author, created_at) "
            "VALUES ($1, $2, $3, $4, $5, $6)",
            {key.space, key.name, static_cast<int64_t>(version.number),
             dump_json(to_json(version.flag)), version.author, unix_millis(version.created_at)}));
    }
    return {};
}

Result<> remove_flags_of(Connection& db, const std::string& space) {
    CANDELA_TRY(db.execute("DELETE FROM flags WHERE space = $1", {space}));
    return {};
}

}  // namespace candela::lighthouse
