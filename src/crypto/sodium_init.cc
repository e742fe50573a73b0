#include "crypto/sodium_init.h"

#include <sodium.h>

#include "base/check.h"

namespace candela::crypto {

void ensure_sodium() {
    static const bool is_ready = [] {
        CANDELA_CHECK(sodium_init() >= 0);
        return true;
    }();
    (void)is_ready;
}

}  // namespace candela::crypto
