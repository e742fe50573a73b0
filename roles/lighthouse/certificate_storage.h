#pragma once

// Certificates and what is kept of dealings with a certificate authority, in SQL. Everything here
// runs on the database's thread; secrets come sealed (vault.h).

#include <string>
#include <vector>

#include "base/time.h"
#include "store/connection.h"

namespace candela::lighthouse {

struct CertificateRow {
    std::string name;
    std::string source;
    std::string chain_pem;
    std::string sealed_key;
    WallTime created_at{};
};

struct AcmeAccountRow {
    std::string directory;
    std::string url;  // empty until the authority has answered
    std::string sealed_key;
    WallTime created_at{};
};

// What came of the last order for a host, or how far it has come.
struct AcmeHostRow {
    std::string host;
    std::string order_url;   // of an order that goes on; empty: none does
    std::string sealed_key;  // of that order's certificate
    int64_t failures = 0;    // in a row
    WallTime next_at{};      // no new attempt before
    std::string error;       // of the last attempt; empty: it went well
};

Result<std::vector<CertificateRow>> load_certificates(store::Connection& db);
Result<> write_certificate(store::Connection& db, const CertificateRow& row);
Result<> remove_certificate(store::Connection& db, const std::string& name);

Result<std::vector<AcmeAccountRow>> load_acme_account(store::Connection& db,
                                                      const std::string& directory);
Result<> write_acme_account(store::Connection& db, const AcmeAccountRow& row);
Result<std::vector<AcmeHostRow>> load_acme_hosts(store::Connection& db);
Result<> write_acme_host(store::Connection& db, const AcmeHostRow& row);
Result<> remove_acme_host(store::Connection& db, const std::string& host);

}  // namespace candela::lighthouse
