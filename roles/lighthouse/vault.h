#pragma once

// Seals secrets that are kept in the database, with a key that is not: a copy of the database alone
// (a backup, say) gives none of them away. The key is DIR/lighthouse/sealing.key, 0600, made at the
// first start. Opened before use, then values only.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

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

    // A key of 32 bytes for one purpose, always the same.
    Secret derive_key(std::string_view purpose) const;

private:
    Loop& loop_;
    std::filesystem::path file_;
    std::optional<crypto::BoxKey> key_;
    Secret seed_;
};

}  // namespace candela::lighthouse
