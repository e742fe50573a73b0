#include "certificate_storage.h"

namespace candela::lighthouse {

using store::Connection;

Result<std::vector<CertificateRow>> load_certificates(Connection& db) {
    CANDELA_TRY_ASSIGN(
        const auto rows,
        db.query("SELECT name, source, chain, sealed_key, created_at FROM certificates"));
    std::vector<CertificateRow> out;
    for (const store::Row& row : rows) {
        out.push_back(CertificateRow(row.text(0), row.text(1), row.text(2), row.text(3),
                                     from_unix_millis(row.integer(4))));
    }
    return out;
}

Result<> write_certificate(Connection& db, const CertificateRow& row) {
    CANDELA_TRY(db.execute(
        "INSERT INTO certificates (name, source, chain, sealed_key, created_at) "
        "VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO UPDATE SET "
        "source = $2, chain = $3, sealed_key = $4, created_at = $5",
        {row.name, row.source, row.chain_pem, row.sealed_key, unix_millis(row.created_at)}));
    return {};
}

Result<> remove_certificate(Connection& db, const std::string& name) {
    CANDELA_TRY(db.execute("DELETE FROM certificates WHERE name = $1", {name}));
    return {};
}

Result<std::vector<AcmeAccountRow>> load_acme_account(Connection& db,
                                                      const std::string& directory) {
    CANDELA_TRY_ASSIGN(const auto rows,
                       db.query("SELECT directory, url, sealed_key, created_at FROM acme_accounts "
                                "WHERE directory = $1",
                                {directory}));
    std::vector<AcmeAccountRow> out;
    for (const store::Row& row : rows) {
        out.push_back(AcmeAccountRow(row.text(0), row.text(1), row.text(2),
                                     from_unix_millis(row.integer(3))));
    }
    return out;
}

Result<> write_acme_account(Connection& db, const AcmeAccountRow& row) {
    CANDELA_TRY(
        db.execute("INSERT INTO acme_accounts (directory, url, sealed_key, created_at) "
                   "VALUES ($1, $2, $3, $4) ON CONFLICT (directory) DO UPDATE SET "
                   "url = $2, sealed_key = $3, created_at = $4",
                   {row.directory, row.url, row.sealed_key, unix_millis(row.created_at)}));
    return {};
}

Result<std::vector<AcmeHostRow>> load_acme_hosts(Connection& db) {
    CANDELA_TRY_ASSIGN(
        const auto rows,
        db.query("SELECT host, order_url, sealed_key, failures, next_at, error FROM acme_hosts"));
    std::vector<AcmeHostRow> out;
    for (const store::Row& row : rows) {
        out.push_back(AcmeHostRow(row.text(0), row.text(1), row.text(2), row.integer(3),
                                  from_unix_millis(row.integer(4)), row.text(5)));
    }
    return out;
}

Result<> write_acme_host(Connection& db, const AcmeHostRow& row) {
    CANDELA_TRY(
        db.execute("INSERT INTO acme_hosts (host, order_url, sealed_key, failures, next_at, error) "
                   "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (host) DO UPDATE SET "
                   "order_url = $2, sealed_key = $3, failures = $4, next_at = $5, error = $6",
                   {row.host, row.order_url, row.sealed_key, row.failures, unix_millis(row.next_at),
                    row.error}));
    return {};
}

Result<> remove_acme_host(Connection& db, const std::string& host) {
    CANDELA_TRY(db.execute("DELETE FROM acme_hosts WHERE host = $1", {host}));
    return {};
}

}  // namespace candela::lighthouse
