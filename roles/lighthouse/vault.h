#pragma once

// Seals secrets that are kept in the database, with a key that is not: a copy of the database alone
// gives none of them away. The key is DIR/lighthouse/sealing.key, 0600, made at the first start;
// rotate() puts another before it. The file has a line for each key, the newest first: those before
// still open what they have sealed, until sealing.h has sealed it anew. Opened before use.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "crypto/sealed_box.h"
#include "loop/flow.h"

namespace candela::lighthouse {

class Vault {
public:
    Vault(Loop& loop, const std::filesystem::path& folder);

    // kCorrupt where the file is not a key.
    Task<Result<>> open();
    // As base64.
    Result<std::string> seal(const Secret& plain) const;
    // kCorrupt where it was sealed with another key, or has been changed.
    Result<Secret> unseal(std::string_view sealed) const;
    // Whether it was sealed with a key that has been replaced.
    bool is_stale(std::string_view sealed) const;

    // From when this returns without an error, what is sealed is sealed with a new key.
    Task<Result<>> rotate();
    // What opens may be sealed with one of so many keys, the newest included.
    static constexpr size_t kKeysMax = 8;

    // A key of 32 bytes for one purpose, always the same, whatever key seals.
    Secret derive_key(std::string_view purpose) const;

private:
    Loop& loop_;
    std::filesystem::path file_;
    std::vector<crypto::BoxKey> keys_;  // the newest first
    std::vector<Secret> seeds_;         // of these
    Secret origin_;                     // the first seed there ever was
};

}  // namespace candela::lighthouse
