#pragma once

// Asking for what must not be seen. Blocks.

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace candela {

// One line from a terminal, without showing it, or from a pipe. kExhausted beyond 1024 bytes.
Result<Secret> read_secret_line(std::string_view prompt);

// A passphrase from the file, if one is named, or else from $CANDELA_BACKUP_PASSPHRASE, or else
// asked for; `twice` where a typing mistake would be found too late. kInvalid where it is empty.
Result<Secret> find_passphrase(const std::string& file, bool twice);

}  // namespace candela
