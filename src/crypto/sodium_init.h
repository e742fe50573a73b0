#pragma once

// libsodium must be initialised before anything else of it is called. Internal to src/crypto.

namespace candela::crypto {

// Idempotent and safe from any thread. A machine on which libsodium can't start has no entropy
// source: nothing can go on there, so it is a CHECK.
void ensure_sodium();

}  // namespace candela::crypto
