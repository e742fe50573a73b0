#include "tls/sha1.h"

#include <openssl/evp.h>

#include "base/check.h"

namespace candela::tls {

std::array<uint8_t, 20> sha1(std::string_view bytes) {
    std::array<uint8_t, 20> digest{};
    unsigned size = 0;
    const int done =
        EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha1(), nullptr);
    CANDELA_CHECK(done == 1 && size == digest.size());
    return digest;
}

}  // namespace candela::tls
