#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "auth/key_pair.h"
#include "base/encoding.h"
#include "base/text.h"
#include "service/bundle.h"
#include "service/file_descriptor.h"

namespace candela::service {

bool is_valid_digest(std::string_view digest) {
    return digest.size() == 64 && std::ranges::all_of(digest, [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

Result<std::string> digest_file(const std::filesystem::path& file) {
    const FileDescriptor fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return fail_errno(file.native(), errno);
    return digest_open_file(fd.get(), file.native());
}

Result<std::string> sign_digest(std::string_view digest, std::string_view seed) {
    if (!is_valid_digest(digest)) {
        return fail(Code::kInvalid, "\"{}\" is not a SHA-256 digest", printable(digest));
    }
    CANDELA_TRY_ASSIGN(const auth::KeyPair key, auth::KeyPair::from_seed(seed));
    return base64url_encode(key.sign(digest));
}

Result<> verify_digest(std::string_view digest, std::string_view signature,
                       std::string_view signer) {
    if (!is_valid_digest(digest)) {
        return fail(Code::kInvalid, "\"{}\" is not a SHA-256 digest", printable(digest));
    }
    const auto bytes = base64url_decode(signature);
    if (!bytes || !auth::verify(signer, digest, as_bytes(*bytes))) {
        return fail(Code::kDenied, "bundle {}: the signature is not that of {}",
                    digest.substr(0, 12), printable(signer));
    }
    return {};
}

}  // namespace candela::service
