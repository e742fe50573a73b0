#pragma once

// Passwords as they are kept: argon2id hashes in the form "$argon2id$v=19$m=…,t=…,p=…$salt$hash"
// (RFC 9106, the PHC string format), by libsodium. Any thread, but slow by design: not on a loop.

#include <string>
#include <string_view>

#include "base/result.h"

namespace candela::crypto {

inline constexpr size_t kPasswordBytesMax = 1024;

// About 30 ms and 16 MiB: a gateway has to check them.
Result<std::string> hash_password(std::string_view password);

// kInvalid where the text is no such hash, or one that asks for more than 64 MiB or 10 passes.
Result<> check_password_hash(std::string_view hash);

// The hash is one that check_password_hash() takes.
bool verify_password(const std::string& hash, std::string_view password);

}  // namespace candela::crypto
