#include "sealing.h"

#include <string>
#include <vector>

namespace candela::lighthouse {

namespace {

using store::Connection;

// Where sealed texts are: what lists them, each with its row's key, and what replaces one.
struct Column {
    const char* list;
    const char* replace;
    size_t names;      // columns of its key
    bool has_version;  // behind them
};
constexpr Column kColumns[] = {
    {"SELECT content, space, name, version FROM space_values WHERE kind = 'secret'",
     "UPDATE space_values SET content = $1 "
     "WHERE kind = 'secret' AND space = $2 AND name = $3 AND version = $4",
     2, true},
    {"SELECT sealed_key, name FROM certificates",
     "UPDATE certificates SET sealed_key = $1 WHERE name = $2", 1, false},
    {"SELECT sealed_key, directory FROM acme_accounts",
     "UPDATE acme_accounts SET sealed_key = $1 WHERE directory = $2", 1, false},
    {"SELECT sealed_key, host FROM acme_hosts WHERE sealed_key <> ''",
     "UPDATE acme_hosts SET sealed_key = $1 WHERE host = $2", 1, false},
};

// On the database's thread; the vault's keys do not change meanwhile, for the flow waits.
Result<size_t> reseal_all(Connection& db, const Vault& vault) {
    auto work = [&]() -> Result<size_t> {
        size_t count = 0;
        for (const Column& column : kColumns) {
            CANDELA_TRY_ASSIGN(const auto rows, db.query(column.list));
            for (const store::Row& row : rows) {
                const std::string before = row.text(0);
                if (!vault.is_stale(before)) continue;
                const auto plain = vault.unseal(before);
                if (!plain) continue;  // of a database that came without its key
                CANDELA_TRY_ASSIGN(const std::string after, vault.seal(*plain));
                std::vector<store::Value> values = {after};
                for (size_t i = 1; i <= column.names; ++i) values.emplace_back(row.text(i));
                if (column.has_version) values.emplace_back(row.integer(column.names + 1));
                CANDELA_TRY(db.execute(column.replace, std::span<const store::Value>(values)));
                ++count;
            }
        }
        return count;
    };
    return db.transaction(work);
}

}  // namespace

Task<Result<>> reseal(State& state, const Vault& vault, std::shared_ptr<size_t> count) {
    auto work = [&vault](Connection& db) { return reseal_all(db, vault); };
    auto sealed = co_await state.database().run(std::move(work));
    if (!sealed) co_return fail(sealed.error());
    *count += *sealed;
    co_return Result<>();
}

Task<Result<>> rotate_and_reseal(State& state, Vault& vault, std::shared_ptr<size_t> count) {
    CO_TRY(co_await vault.rotate());
    auto sealed = co_await reseal(state, vault, count);
    co_return sealed;
}

}  // namespace candela::lighthouse
